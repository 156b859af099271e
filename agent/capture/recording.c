/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording: RECORDING_MAGIC, an int64 (little-endian) of wall minus monotonic clock, then the
 * ring's records as they came, each behind its size as a uint32.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/capture/capture.h"
#include "bpf/events.h"

#define MAGIC_LEN    (sizeof(RECORDING_MAGIC) - 1)
#define DATA_REC_MAX (sizeof(struct tt_rec_data) + TT_PIECE_MAX)
#define OPEN_REC_MAX sizeof(struct tt_rec_open)
#define RECORD_MAX   (DATA_REC_MAX > OPEN_REC_MAX ? DATA_REC_MAX : OPEN_REC_MAX)

static void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_head(FILE *f, int64_t *wall_minus_mono_ns)
{
	char magic[MAGIC_LEN];

	if (fread(magic, sizeof(magic), 1, f) != 1 || memcmp(magic, RECORDING_MAGIC, MAGIC_LEN) ||
	    fread(wall_minus_mono_ns, sizeof(*wall_minus_mono_ns), 1, f) != 1)
		return -EINVAL;
	return 0;
}

/* Returns 1 with a record delivered, 0 at the file's end, -EINVAL when it is cut or malformed. */
static int replay_record(FILE *f, void *buffer, const struct capture_ops *ops, void *user)
{
	uint32_t size;
	size_t n = fread(&size, 1, sizeof(size), f);

	if (n == 0)
		return 0;
	if (n != sizeof(size) || size > RECORD_MAX || fread(buffer, 1, size, f) != size)
		return -EINVAL;
	return capture_dispatch(ops, user, buffer, size) ? 1 : -EINVAL;
}

int recording_replay(const char *path, const struct capture_ops *ops, void *user, char *err,
		     size_t err_size)
{
	int64_t wall_minus_mono_ns;
	_cleanup_(fclosep) FILE *f = fopen(path, "re");
	_cleanup_(freep) void *buffer = malloc(RECORD_MAX);
	size_t records = 0;
	int rc;

	if (!f || !buffer) {
		rc = f ? -ENOMEM : -errno;
		snprintf(err, err_size, "%s: %s", path, strerror(-rc));
		return rc;
	}
	rc = read_head(f, &wall_minus_mono_ns);
	if (rc) {
		snprintf(err, err_size, "%s: not a recording (no %.*s line)", path,
			 (int)MAGIC_LEN - 1, RECORDING_MAGIC);
		return rc;
	}
	if (ops->clock)
		ops->clock(user, wall_minus_mono_ns);
	while ((rc = replay_record(f, buffer, ops, user)) > 0)
		records++;
	if (rc < 0)
		snprintf(err, err_size, "%s: record %zu is cut or malformed", path, records + 1);
	return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

struct recording {
	FILE *f;
	bool failed;
};

int recording_new(struct recording **out, const char *path, int64_t wall_minus_mono_ns)
{
	struct recording *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->f = fopen(path, "we");
	if (!r->f) {
		rc = -errno;
		free(r);
		return rc;
	}
	r->failed = fwrite(RECORDING_MAGIC, MAGIC_LEN, 1, r->f) != 1 ||
		    fwrite(&wall_minus_mono_ns, sizeof(wall_minus_mono_ns), 1, r->f) != 1;
	*out = r;
	return 0;
}

void recording_record(struct recording *r, const void *record, size_t size)
{
	uint32_t size32 = size;

	if (fwrite(&size32, sizeof(size32), 1, r->f) != 1 || fwrite(record, size, 1, r->f) != 1)
		r->failed = true;
}

static void fill_head(struct tt_rec_head *head, const struct conn_id *conn, uint32_t type,
		      uint32_t verdict, uint64_t now_ns)
{
	head->type = type;
	head->ssl = conn->ssl;
	head->start_boot_ns = conn->start_boot_ns;
	head->tgid = conn->tgid;
	head->tid = conn->tgid;
	head->generation = conn->generation;
	head->verdict = verdict;
	head->now_ns = now_ns;
}

void recording_open(struct recording *r, const struct conn_open *open, bool candidate)
{
	struct tt_rec_open rec = {.uid = open->uid};

	fill_head(&rec.head, &open->conn, TT_REC_OPEN, candidate ? TT_CANDIDATE : TT_WATCHED,
		  open->now_ns);
	rec.head.size = sizeof(rec);
	slice_copy(rec.comm, sizeof(rec.comm), slice_of(open->comm));
	slice_copy(rec.host, sizeof(rec.host), slice_of(open->host));
	for (size_t i = 0; open->cgroup && i < TT_CGROUP_LEVELS && open->cgroup[i][0]; i++)
		slice_copy(rec.cgroup[i], TT_CGROUP_NAME, slice_of(open->cgroup[i]));
	rec.env_len = open->env.len < TT_ENV_MAX ? open->env.len : TT_ENV_MAX;
	if (rec.env_len)
		memcpy(rec.env, open->env.ptr, rec.env_len);
	recording_record(r, &rec, sizeof(rec));
}

/* The piece of the chunk at `done`. Returns the bytes it stands for. */
static uint32_t write_piece(struct recording *r, const struct chunk *chunk, struct tt_rec_data *rec,
			    uint32_t done)
{
	uint32_t left = chunk->want - done;
	uint32_t have = chunk->data.len > done ? chunk->data.len - done : 0;
	uint32_t len = have < TT_PIECE_MAX ? have : TT_PIECE_MAX;
	uint32_t want = have > TT_PIECE_MAX ? len : left;

	fill_head(&rec->head, &chunk->conn, TT_REC_DATA,
		  chunk->candidate ? TT_CANDIDATE : TT_WATCHED, chunk->now_ns);
	rec->head.size = sizeof(*rec) + len;
	rec->entry_ns = chunk->entry_ns;
	rec->offset = chunk->offset + done;
	rec->call_len = chunk->want;
	rec->want = want;
	rec->len = len;
	rec->dir = chunk->dir == CHUNK_WRITE ? TT_WRITE : TT_READ;
	rec->flags = (want == left ? TT_F_LAST_PIECE : 0) | (len < want ? TT_F_CUT : 0) |
		     (done == 0 && chunk->gap_before ? TT_F_GAP_BEFORE : 0);
	if (len)
		memcpy(rec->data, chunk->data.ptr + done, len);
	recording_record(r, rec, rec->head.size);
	return want;
}

void recording_chunk(struct recording *r, const struct chunk *chunk)
{
	_cleanup_(freep) struct tt_rec_data *rec = calloc(1, DATA_REC_MAX);

	if (!rec) {
		r->failed = true;
		return;
	}
	for (uint32_t done = 0; done < chunk->want;)
		done += write_piece(r, chunk, rec, done);
}

void recording_may_end(struct recording *r, const struct conn_id *conn, uint64_t now_ns)
{
	struct tt_rec_head rec = {.size = sizeof(rec)};

	fill_head(&rec, conn, TT_REC_CLOSE, TT_WATCHED, now_ns);
	recording_record(r, &rec, sizeof(rec));
}

int recording_close(struct recording *r)
{
	bool failed;

	if (!r)
		return 0;
	failed = fclose(r->f) || r->failed;
	free(r);
	return failed ? -EIO : 0;
}
