/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/parts.h"

#include "agent/base/counters.h"
#include "agent/exchange/estimate.h"
#include "agent/exchange/grpc_status.h"
#include "agent/providers/provider.h"
#include "agent/usage/meter.h"

/* A record that is lost at the end of a stream leaves no gap: nothing comes behind it. */
static bool end_may_be_lost(const struct exchange *x, uint64_t end_ns)
{
	const struct exchange_ops *ops = x->env->ops;

	if (x->entry_ns < x->env->reader_since_ns)
		return true;
	return ops->may_be_lost && ops->may_be_lost(x->env->user, x->entry_ns, end_ns);
}

enum message_end settle_seen_end(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	struct work *w = x->work;

	if (how == MESSAGE_COMPLETE || (w->meter && meter_facts(w->meter)->ended))
		return how;
	if (!w->answer_gap && how != MESSAGE_UNSEEN && end_may_be_lost(x, now_ns)) {
		w->call.gaps++;
		w->answer_gap = true;
		how = MESSAGE_UNSEEN;
	}
	/* How a body without framing ended is known, whatever it lacks. */
	return w->answer_gap && how == MESSAGE_CUT ? MESSAGE_UNSEEN : how;
}

/* Only identifiers pass: an error's text may quote the prompt. */
static bool is_identifier(const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	return text[0] && text[strspn(text, plain)] == '\0' && strlen(text) < 64;
}

void settle_error_class(struct call *c, const struct answer *a)
{
	const char *type = a->text[TEXT_ERROR_TYPE], *code = a->text[TEXT_ERROR_CODE];

	if (is_identifier(type))
		set_text(c->error_class, sizeof(c->error_class), type);
	else if (is_identifier(code))
		set_text(c->error_class, sizeof(c->error_class), code);
}

static void take(char *dst, size_t size, const struct answer *a, enum answer_text field)
{
	if (a->text[field][0])
		set_text(dst, size, a->text[field]);
}

/* "auto" proves nothing: neither asked for nor in an answer that leaves the tier open. */
static void set_tier(struct call *c, const char *served)
{
	if (strcmp(c->service_tier, "auto") == 0)
		c->service_tier[0] = '\0';
	if (served[0] && (strcmp(served, "auto") != 0 || !c->service_tier[0]))
		set_text(c->service_tier, sizeof(c->service_tier), served);
	c->batch = strcmp(c->service_tier, "batch") == 0;
}

static void set_names(struct work *w, const struct answer *a)
{
	struct call *c = &w->call;

	take(c->response_id, sizeof(c->response_id), a, TEXT_RESPONSE_ID);
	set_tier(c, a->text[TEXT_SERVICE_TIER]);
	take(c->inference_geo, sizeof(c->inference_geo), a, TEXT_INFERENCE_GEO);
	take(c->speed, sizeof(c->speed), a, TEXT_SPEED);
	take(c->model, sizeof(c->model), a, TEXT_MODEL);
}

/*
 * Models that are billed by a unit no usage tells. Images are counted in the answer, characters in
 * the request.
 */
static bool is_billed_by_unit(const struct work *w)
{
	const char *models = w->dialect->unit_models;

	return models && w->call.status < 300 &&
	       slice_starts(slice_of(w->call.model_requested), slice_of(models));
}

static void take_units(struct work *w)
{
	struct usage *u = &w->call.usage;

	if (u->known || !is_billed_by_unit(w))
		return;
	if (w->units.characters)
		u->tool_units[TOOL_CHARACTERS] = (int64_t)w->units.characters;
	u->known = u->tool_units[TOOL_CHARACTERS] || u->tool_units[TOOL_IMAGES];
}

/* Whatever HTTP's status says. */
static bool grpc_failed(const struct work *w)
{
	return w->dialect->wire != WIRE_JSON && w->grpc_status && w->grpc_status->failed;
}

bool settle_worth_retrying(const struct work *w)
{
	return grpc_failed(w) ? w->grpc_status->retried : attempt_worth_retrying(&w->call);
}

/* What the usage is worth, given how the answer ended. */
static enum basis basis_of(const struct work *w, bool whole)
{
	const struct meter_facts *facts = meter_facts(w->meter);
	const struct usage *u = &w->call.usage;

	/* With its status not seen, a whole answer that is an error was one. */
	if (!u->known && !w->call.status && facts->failed && !facts->stream)
		return BASIS_NOT_BILLED;
	if (!u->known &&
	    (w->call.status >= 300 || grpc_failed(w) || meter_answer(w->meter)->refused))
		return BASIS_NOT_BILLED;
	if (!u->known)
		return whole && !w->answer_gap ? BASIS_ESTIMATED : BASIS_PARTIAL;
	/* Chunks before an error tell what was counted up to them. */
	whole &= !grpc_failed(w);
	if (!(facts->final || (whole && is_billed_by_unit(w))) || (facts->stream && !whole) ||
	    u->lower_bound)
		return BASIS_PARTIAL;
	/* What a gateway says a call costs is its estimate: no bill, unless its prices say so. */
	return u->provider_cost_pusd >= 0 && w->call.role != ROLE_GATEWAY ? BASIS_PROVIDER_REPORTED
									  : BASIS_REPORTED_USAGE;
}

static enum outcome outcome_of_end(enum message_end how)
{
	return how == MESSAGE_UNSEEN ? OUTCOME_UNKNOWN : OUTCOME_ABORTED;
}

/* All but the provider's own numbers, as they stand. */
static void forget_counts(struct usage *u)
{
	u->known = u->lower_bound = false;
	memset(u->tokens, 0, sizeof(u->tokens));
	memset(u->tool_units, 0, sizeof(u->tool_units));
}

static bool is_whole(const struct work *w, enum message_end how)
{
	return how == MESSAGE_COMPLETE || how == MESSAGE_CLOSED ||
	       (w->meter && meter_facts(w->meter)->ended);
}

static bool is_status_unseen(const struct work *w)
{
	return w->dialect->wire != WIRE_JSON && w->status_unseen;
}

static void set_grpc_error(struct work *w)
{
	w->call.outcome = OUTCOME_ERROR;
	if (!w->call.error_class[0])
		set_text(w->call.error_class, sizeof(w->call.error_class), w->grpc_status->name);
}

static void settle_error(struct work *w, const struct answer *a)
{
	w->call.outcome = OUTCOME_ERROR;
	settle_error_class(&w->call, a);
	if (grpc_failed(w))
		set_grpc_error(w);
}

void settle_told(struct work *w, enum message_end how)
{
	const struct meter_facts *facts = meter_facts(w->meter);
	const struct answer *a = meter_answer(w->meter);
	struct call *c = &w->call;
	bool whole = is_whole(w, how);

	meter_usage(w->meter, &c->usage);
	if (w->doubtful)
		forget_counts(&c->usage);
	else
		take_units(w);
	set_names(w, a);
	c->stream |= facts->stream;
	c->outcome = whole ? OUTCOME_OK : outcome_of_end(how);
	if ((!c->status || is_status_unseen(w)) && !facts->marked)
		c->outcome = OUTCOME_UNKNOWN; /* neither the status nor the body says it */
	if (c->status >= 300 || facts->failed || grpc_failed(w))
		settle_error(w, a);
	c->basis = basis_of(w, whole);
}

void settle_answer(struct work *w, enum message_end how)
{
	settle_told(w, how);
	if (meter_facts(w->meter)->broken)
		counter_add(w->dialect->wire == WIRE_JSON ? COUNTER_DECODE_JSON
							  : COUNTER_DECODE_GRPC,
			    1);
}

/* Nothing is known, least of all zero. */
void settle_unread(struct call *c, enum message_end how)
{
	if (c->status >= 300) {
		c->outcome = OUTCOME_ERROR;
		c->basis = BASIS_NOT_BILLED;
	} else if (c->status && (how == MESSAGE_COMPLETE || how == MESSAGE_CLOSED)) {
		c->outcome = OUTCOME_OK;
		c->basis = BASIS_ESTIMATED;
	} else { /* the provider may have worked and may bill */
		c->outcome = outcome_of_end(how);
		c->basis = BASIS_PARTIAL;
	}
}

/* Of an answer that was seen to its end, which was no failure. */
static enum usage_missing missing_of_whole(const struct work *w)
{
	const struct meter_facts *facts = meter_facts(w->meter);

	if (facts->broken)
		return MISSING_UNDECODABLE;
	if (w->call.usage.known)
		return MISSING_INCOMPLETE;
	if (!facts->marked)
		return MISSING_UNKNOWN_SHAPE;
	if (reading_is_under_way(meter_answer(w->meter)))
		return MISSING_UNDER_WAY;
	return facts->stream && w->dialect->usage_on_request && !w->units.usage_asked
		       ? MISSING_NOT_ASKED
		       : MISSING_NOT_TOLD;
}

enum usage_missing settle_missing(const struct work *w)
{
	const struct call *c = &w->call;

	if (c->basis != BASIS_ESTIMATED && c->basis != BASIS_PARTIAL)
		return MISSING_NOT;
	if (w->undecodable)
		return MISSING_UNDECODABLE;
	if (w->answer_gap || c->outcome == OUTCOME_UNKNOWN)
		return MISSING_NOT_CAPTURED;
	if (w->doubtful)
		return MISSING_AMBIGUOUS;
	if (c->outcome != OUTCOME_OK)
		return c->status ? MISSING_CUT : MISSING_NO_ANSWER;
	/* Without memory for it an answer is not read. */
	return w->meter ? missing_of_whole(w) : MISSING_NOT_CAPTURED;
}

static void settle_first_token(struct exchange *x)
{
	struct work *w = x->work;
	uint64_t first_ns = meter_facts(w->meter)->stream ? w->first_content_ns : w->first_byte_ns;

	if (first_ns)
		w->call.time_to_first_token_us = between_us(x->entry_ns, first_ns);
}

/*
 * The model of the path is that of the call, whatever the body names. A deployment's name is no
 * model: better unpriced than priced as another.
 */
static void settle_model(struct work *w)
{
	struct call *c = &w->call;

	if (w->path_model[0] && !w->is_deployment)
		set_text(c->model_requested, sizeof(c->model_requested), w->path_model);
	if (!c->model[0] && !(w->is_deployment && strcmp(c->model_requested, w->path_model) == 0))
		set_text(c->model, sizeof(c->model), c->model_requested);
}

/*
 * Of streams that tell no usage, for nobody asked for it: what their text would count. One that was
 * cut keeps its basis: there was more.
 */
static void estimate_usage(struct work *w)
{
	struct call *c = &w->call;
	bool missing = c->usage_missing == MISSING_NOT_ASKED || c->usage_missing == MISSING_CUT;

	if (missing && !c->usage.known && !c->gaps)
		estimate_take(w->units.estimate, c);
}

void settle_call(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	struct work *w = x->work;
	struct call *c = &w->call;

	c->duration_us = between_us(x->entry_ns, now_ns);
	if (w->meter) {
		meter_eof(w->meter);
		settle_answer(w, how);
		settle_first_token(x);
	} else {
		settle_unread(c, how);
		if (grpc_failed(w)) { /* trailers behind a head that was not seen */
			set_grpc_error(w);
			c->basis = BASIS_NOT_BILLED;
		}
	}
	if (!c->billable)
		c->basis = BASIS_NOT_BILLED;
	c->usage_missing = settle_missing(w);
	estimate_usage(w);
	if (!c->response_id[0] && c->status < 300 && x->provider->request_id_is_answers)
		set_text(c->response_id, sizeof(c->response_id), c->request_id);
	settle_model(w);
}
