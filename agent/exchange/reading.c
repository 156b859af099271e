/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that tell of work which was begun by another request: a polled response, a batch, its
 * results. Such an answer is a record, or several, only by the usage it tells; which of them were
 * told before is the ledger's to say.
 */
#include "agent/exchange/parts.h"

#include "agent/base/timestamp.h"
#include "agent/exchange/batch_dates.h"
#include "agent/exchange/event_id.h"
#include "agent/exchange/usage_key.h"
#include "agent/providers/provider.h"
#include "agent/usage/meter.h"

bool reading_is_under_way(const struct answer *a)
{
	static const char *const states[] = {"queued",	   "in_progress", "requires_action",
					     "validating", "finalizing",  "cancelling"};

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (strcmp(a->text[TEXT_STATUS], states[i]) == 0)
			return true;
	}
	return false;
}

/* The object of the path, else that of the answer. */
static void set_object(struct exchange *x, const struct answer *a)
{
	struct work *w = x->work;
	const char *id = w->object_id;

	if (!id[0])
		id = a->text[TEXT_OUTPUT][0] ? a->text[TEXT_OUTPUT] : a->text[TEXT_RESPONSE_ID];
	usage_key_object(&w->call.key, x->env, &w->call, w->dialect->object, slice_of(id));
}

/* By its own word, by what was said of its object before, or as it was seen: then it is inferred.
 */
static void set_date(struct exchange *x, const struct answer *a)
{
	struct call *c = &x->work->call;

	if (!timestamp_parse(slice_of(a->text[TEXT_DATE]), &c->dated_us))
		c->dated_us = batch_dates_find(x->env->batch_dates, c->key.object);
	if (!c->dated_us)
		tags_set(&c->tags, SLICE("inferred"), SLICE("started_at"), TAG_RULE);
}

static void set_batch(struct work *w)
{
	w->call.batch |= w->dialect->batch;
	w->call.summed = w->dialect->summed;
}

/* ---- several units of usage in one answer ---------------------------------------------------- */

/* What the client calls it, else the provider's id of its answer, else its place. */
static void set_part(struct exchange *x, const struct answer *a, uint32_t ordinal)
{
	struct slice name = {a->unit_name, a->unit_name_len};

	if (!name.len)
		name = slice_of(a->text[TEXT_RESPONSE_ID]);
	usage_key_part(&x->work->call.key, x->env, name, ordinal);
}

static void fill_unit(struct exchange *x, const struct answer *a)
{
	struct work *w = x->work;
	struct call *c = &w->call;

	c->sub_index = (int)w->units_told++;
	event_id_fill(c->event_id, x->env, &x->conn, x->entry_ns, x->index_in_record,
		      (uint32_t)c->sub_index);
	attempt_alone(c, 0);
	c->stream = false;
	c->duration_us = between_us(x->entry_ns, w->now_ns);
	/* Work at other models has no row here: the counts leave it out. */
	c->usage.mismatch |= a->sub_count != 0;
	set_batch(w);
	set_object(x, a);
	set_part(x, a, w->units_seen);
	set_date(x, a);
}

/* A unit without usage was not billed: a request that failed, or a line of any other file. */
static void on_unit(void *user)
{
	struct exchange *x = user;
	struct work *w = x->work;
	struct call kept = w->call; /* what all units share */

	settle_told(w, MESSAGE_COMPLETE);
	if (w->call.usage.known) {
		fill_unit(x, meter_answer(w->meter));
		exchange_count_open(x, 1);
		x->env->ops->done(x->env->user, &x->conn, x->entry_ns, &w->call);
	}
	w->units_seen++;
	w->call = kept;
}

void reading_begin(struct exchange *x)
{
	if (x->work->dialect->units && x->work->call.status < 300)
		meter_on_unit(x->work->meter, on_unit, x);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* A batch says when it was done, also where it says nothing of usage. */
static void note_date(struct exchange *x, const struct answer *a)
{
	int64_t us;

	if (x->work->dialect->batch && timestamp_parse(slice_of(a->text[TEXT_DATE]), &us))
		batch_dates_note(x->env->batch_dates, x->work->call.key.object, us);
}

bool reading_end(struct exchange *x)
{
	struct work *w = x->work;
	const struct answer *a = w->meter ? meter_answer(w->meter) : NULL;

	if (!a)
		return false;
	set_object(x, a);
	note_date(x, a);
	if (w->dialect->units || !w->call.usage.known || !meter_facts(w->meter)->final ||
	    reading_is_under_way(a))
		return false;
	set_batch(w);
	set_date(x, a);
	return true;
}

void reading_made(struct exchange *x)
{
	struct work *w = x->work;

	if (!w->meter)
		return;
	set_object(x, meter_answer(w->meter));
	w->call.key.made = !w->guess; /* what was asked for was not seen: it may be a poll */
}
