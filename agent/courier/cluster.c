/* SPDX-License-Identifier: Apache-2.0 */
/* Where the kubelet is, as a pod is told. */
#include "agent/courier/kubelet.h"

#include <errno.h>
#include <stdio.h>

#define ACCOUNT_DIR  "/var/run/secrets/kubernetes.io/serviceaccount/"
#define KUBELET_PORT 10250 /* by TLS, with authorisation */

static bool is_url(struct slice url)
{
	return (slice_starts(url, SLICE("https://")) || slice_starts(url, SLICE("http://"))) &&
	       url.len < KUBELET_URL_MAX && !strpbrk(url.ptr, " \t\r\n?#");
}

int kubelet_opts_complete(struct kubelet_opts *opts, const char *service_host,
			  const char *node_name, char made[KUBELET_URL_MAX], char *err,
			  size_t err_size)
{
	if (!opts->node && node_name && *node_name)
		opts->node = node_name;
	if (!opts->token_file)
		opts->token_file = ACCOUNT_DIR "token";
	if (!opts->ca_file)
		opts->ca_file = ACCOUNT_DIR "ca.crt";
	if (!opts->url && service_host && *service_host && opts->node) {
		snprintf(made, KUBELET_URL_MAX, "https://%s:%d", opts->node, KUBELET_PORT);
		opts->url = made;
	}
	if (opts->url && !strcmp(opts->url, "none"))
		opts->url = NULL;
	if (!opts->url || is_url(slice_of(opts->url)))
		return 0;
	snprintf(err, err_size,
		 "--kubernetes.kubelet-url: bad value '%.120s'; allowed: https://HOST:PORT, "
		 "http://HOST:PORT, none",
		 opts->url);
	return -EINVAL;
}
