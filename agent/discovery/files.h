/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that matter to TLS, one entry per real inode, and a cache of what was decided about an
 * inode as the kernel reports it (device and number of a mapping), so that the thousandth start of
 * a program costs one look-up. Both are bounded: the table refuses, the cache forgets.
 */
#ifndef TT_FILES_H
#define TT_FILES_H

#include "agent/base/fileid.h"
#include "agent/discovery/discovery.h"

#define FILE_PATH_MAX	512
#define FILE_REASON_MAX 128

enum file_state { FILE_ATTACHED, FILE_REFUSED, FILE_FAILED, FILE_STATES };
extern const char *const file_state_names[FILE_STATES];

struct tls_file {
	struct file_identity id;
	enum file_state state;
	char reason[FILE_REASON_MAX]; /* refused or failed: why */
	char path[FILE_PATH_MAX];     /* as first seen; inside a container: its path */
	char build_id[41];
	bool executable;
	bool deleted;
	int handle;		    /* of the broker; -1 = not attached */
	uint32_t probes;	    /* armed */
	enum site_class site_class; /* of them on reads and writes */
	uint32_t users;		    /* processes linked to it */
	uint32_t idle_for;	    /* scan cycles without a user and without its path */
};

#define STAMP_UNDECIDED 0 /* of no file: what is remembered under it is soon looked at again */

/* A hash of size and mtime. */
uint64_t file_stamp(const struct file_identity *id);
/* One lower file through two overlay mounts; a hint (design 2.1). Empty build ids never match. */
bool file_same_lower(const struct file_identity *a, const char *build_id_a,
		     const struct file_identity *b, const char *build_id_b);

struct files {
	struct tls_file *item[DISCOVERY_FILES_MAX];
	size_t count;
};

void files_free(struct files *files);
/* The entry of this inode (whatever its size and mtime), or NULL. */
struct tls_file *files_find(const struct files *files, const struct file_identity *id);
struct tls_file *files_find_lower(const struct files *files, const struct file_identity *id,
				  const char *build_id);
/* The same among the refused, which have no build id: to be listed once is enough. */
struct tls_file *files_find_refused_lower(const struct files *files,
					  const struct file_identity *id);
/* A new empty entry, or NULL when the table is full or memory is short. */
struct tls_file *files_add(struct files *files);
/* Who gives way when the table is full: the one added last that no process uses, or NULL. */
struct tls_file *files_unused(const struct files *files);
/* Takes it out and frees it. */
void files_remove(struct files *files, struct tls_file *file);

/* ---- decisions by reported inode ---------------------------------------------------------- */

#define SEEN_SETS  2048
#define SEEN_WAYS  4
#define SEEN_FOR_S 10 /* then its bytes are compared: the number may be another file's by now */

struct seen_key {
	uint64_t inode, generation; /* generation 0: not reported */
	uint32_t major, minor;
};

struct seen_entry {
	struct seen_key key; /* inode 0: free */
	uint64_t stamp;	     /* file_stamp when it was decided */
	struct tls_file *file;
	uint32_t at_s;
};

struct seen {
	struct seen_entry set[SEEN_SETS][SEEN_WAYS];
	uint8_t next[SEEN_SETS]; /* way to replace next */
};

/*
 * True when a decision is known; *file is then the file or NULL (nothing to do with TLS). An
 * attached file is held by its probes, so its number stays its own; all else is believed for
 * SEEN_FOR_S. A key with a generation asks for that one, a key without for any.
 */
bool seen_get(const struct seen *seen, const struct seen_key *key, uint32_t now_s,
	      struct tls_file **file);
/* The same for a file whose identity was just read, however long ago it was decided. */
bool seen_same(const struct seen *seen, const struct seen_key *key, uint64_t stamp,
	       struct tls_file **file);
void seen_put(struct seen *seen, const struct seen_key *key, uint64_t stamp, uint32_t now_s,
	      struct tls_file *file);
void seen_forget(struct seen *seen, const struct tls_file *file);

#endif
