/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled path list: a tree with one node per distinct prefix, so that a scanner's place in it
 * is one number per open container. Shared by paths.c (builds), scan.c and grpc/protobuf.c (walk);
 * private to these.
 */
#ifndef TT_JSON_PATHS_H
#define TT_JSON_PATHS_H

#include "agent/json/scan.h"

#define JSON_NODE_NONE (-1)

struct json_node {
	struct slice key; /* {NULL, 0} = any array element */
	int child;	  /* first child, its siblings follow through `next`; JSON_NODE_NONE ends */
	int next;
	int leaf;   /* index of the path that ends here, or JSON_NODE_NONE */
	int deep;   /* of "...**" that starts here */
	int object; /* of "...{}" */
	bool length_only;
	bool in_pieces; /* and handed out as it comes */
};

struct json_paths {
	int refs;
	int count;
	struct json_node node[]; /* [0] is the document's root value */
};

/* The child for a key, or for any element when key.ptr is NULL; JSON_NODE_NONE if none. */
int json_paths_child(const struct json_paths *paths, int node, struct slice key);

#endif
