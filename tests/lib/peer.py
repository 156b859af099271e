# SPDX-License-Identifier: Apache-2.0
"""Both ends of TLS connections in this process, with memory for a network: a test says every byte that
is moved and in which records, and may hold thousands of connections."""
import os
import ssl
import tempfile

from provider import make_certificate

HOST = "api.openai.com"
READ_BYTES = 1 << 16


class Connection:
    """A client and its server after the handshake. Dropping it is an end without close_notify."""

    def __init__(self, client_context, server_context, host):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
        self.server = server_context.wrap_bio(to_server, to_client, server_side=True)
        for end in (self.client, self.server) * 2:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass

    def write(self, data):
        """The client writes: one SSL_write."""
        self.client.write(data)
        return read_all(self.server)

    def answer(self, data):
        """The server writes: one SSL_write; the client reads all of it."""
        self.server.write(data)
        return read_all(self.client)


def read_all(end):
    count = 0
    while True:
        try:
            data = end.read(READ_BYTES)
        except ssl.SSLWantReadError:
            return count
        if not data:
            return count
        count += len(data)


class Peer:
    """with Peer() as peer: peer.exchange(request, [piece, ...])"""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tolltap-peer.")
        make_certificate(self.folder.name, ())
        cert = os.path.join(self.folder.name, "cert.pem")
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(cert, os.path.join(self.folder.name, "key.pem"))
        self.client = ssl.create_default_context(cafile=cert)
        self.client.check_hostname = False
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def connect(self, host=HOST):
        return Connection(self.client, self.server, host)

    def exchange(self, request, pieces, host=HOST):
        """One call on a connection of its own, which ends after the last piece."""
        connection = self.connect(host)
        connection.write(request)
        return sum(connection.answer(piece) for piece in pieces)
