#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls the demo provider as programs do: no proxy, no changed library, the provider's own name.

    client.py --port N --cacert FILE [--with http.client|httpx|httpx2|requests|aiohttp] [--scenario S]
              [--api chat|completions|responses|embeddings|messages] [--stream] [--repeat N]
              [--model M] [--no-include-usage] [--prompt-bytes N]

Only name resolution is redirected: api.openai.com:443 becomes 127.0.0.1:N. Exits 0 when every answer
could be read to its end (or was cut and --cut-ok is given).
"""
import argparse
import http.client
import json
import socket
import ssl
import sys

OPENAI, ANTHROPIC = "api.openai.com", "api.anthropic.com"
APIS = {  # name: host, path, default model
    "chat": (OPENAI, "/v1/chat/completions", "gpt-4o-mini"),
    "completions": (OPENAI, "/v1/completions", "gpt-3.5-turbo-instruct"),
    "responses": (OPENAI, "/v1/responses", "gpt-5"),
    "embeddings": (OPENAI, "/v1/embeddings", "text-embedding-3-small"),
    "messages": (ANTHROPIC, "/v1/messages", "claude-sonnet-4-5"),
}


def redirect(port):
    """Names of the providers resolve to the local one; everything else is as it was."""
    real = socket.getaddrinfo

    def getaddrinfo(host, service, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name in (OPENAI, ANTHROPIC) or name == "llm.corp.example":
            return real("127.0.0.1", port, *args, **kwargs)
        return real(host, service, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def request_of(args):
    host, path, model = APIS[args.api]
    prompt = "x" * args.prompt_bytes if args.prompt_bytes else f"hello from {args.client}"
    body = {"model": args.model or model}
    if args.api in ("chat", "messages"):
        body["messages"] = [{"role": "user", "content": prompt}]
    elif args.api == "completions":
        body["prompt"] = prompt
    else:
        body["input"] = prompt
    if args.api == "messages":
        body["max_tokens"] = 64
    if args.stream:
        body["stream"] = True
        if args.api in ("chat", "completions") and args.include_usage:
            body["stream_options"] = {"include_usage": True}
    headers = {"Content-Type": "application/json", "x-demo-scenario": args.scenario}
    if host == ANTHROPIC:
        headers["x-api-key"] = "sk-ant-demo-0000"
        headers["anthropic-version"] = "2023-06-01"
    else:
        headers["Authorization"] = "Bearer sk-demo-0000"
    return args.host or host, path, headers, json.dumps(body).encode()


def by_http_client(args, calls):
    host, path, headers, body = calls
    context = ssl.create_default_context(cafile=args.cacert)
    connection = http.client.HTTPSConnection(host, context=context, timeout=60)
    for _ in range(args.repeat):
        connection.request("POST", path, body, headers)
        with connection.getresponse() as response:
            while response.read(65536):
                pass
    connection.close()


def by_httpx(args, calls, http2=False):
    import httpx
    host, path, headers, body = calls
    context = ssl.create_default_context(cafile=args.cacert)
    with httpx.Client(verify=context, timeout=60, trust_env=False, http2=http2) as client:
        for _ in range(args.repeat):
            with client.stream("POST", f"https://{host}{path}", headers=headers,
                               content=body) as response:
                for _ in response.iter_bytes():
                    pass
                if http2 and response.http_version != "HTTP/2":
                    raise ValueError("answered in " + response.http_version)


def by_httpx2(args, calls):
    by_httpx(args, calls, http2=True)


def by_requests(args, calls):
    import requests
    host, path, headers, body = calls
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(args.repeat):
            response = session.post(f"https://{host}{path}", headers=headers, data=body,
                                    verify=args.cacert, stream=args.stream, timeout=60)
            for _ in response.iter_content(65536):
                pass


def by_aiohttp(args, calls):
    import asyncio

    import aiohttp
    host, path, headers, body = calls
    context = ssl.create_default_context(cafile=args.cacert)

    async def run():
        async with aiohttp.ClientSession() as session:
            for _ in range(args.repeat):
                async with session.post(f"https://{host}{path}", headers=headers, data=body,
                                        ssl=context) as response:
                    await response.read()

    asyncio.run(run())


CLIENTS = {"http.client": by_http_client, "httpx": by_httpx, "httpx2": by_httpx2, "requests": by_requests,
           "aiohttp": by_aiohttp}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cacert", required=True)
    parser.add_argument("--with", dest="client", choices=CLIENTS, default="http.client")
    parser.add_argument("--api", choices=APIS, default="chat")
    parser.add_argument("--host", help="another host name than the provider's")
    parser.add_argument("--model")
    parser.add_argument("--scenario", default="plain")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--no-include-usage", dest="include_usage", action="store_false")
    parser.add_argument("--prompt-bytes", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--cut-ok", action="store_true")
    args = parser.parse_args()
    redirect(args.port)
    try:
        CLIENTS[args.client](args, request_of(args))
    except ImportError as e:
        print(f"{args.client}: not installed ({e.name})", file=sys.stderr)
        return 77
    except Exception as e:
        if args.cut_ok:
            return 0
        print(f"{args.client}: {type(e).__name__}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
