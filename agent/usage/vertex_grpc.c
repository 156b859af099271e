/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vertex AI's gRPC (google.cloud.aiplatform PredictionService): Gemini's answers by field number,
 * whole or in chunks. Numbers are of GenerateContentResponse, UsageMetadata, ModalityTokenCount and
 * GenerateContentRequest, the same in v1 and v1beta1.
 */
#include "agent/usage/gemini.h"

/* A list of ModalityTokenCount. */
#define MODALITIES(p, list)                                                       \
	{p "{}", ROW_ITEM, list, NULL}, {p ".1", ROW_TEXT, TEXT_ITEM_TYPE, NULL}, \
	{                                                                         \
		p ".2", ROW_ITEM_COUNT, RAW_INPUT, NULL                           \
	}

static const struct dialect_row rows[] = {
	{"4{}", ROW_USAGE, 0, NULL},
	{"4.1", ROW_COUNT, RAW_INPUT, "promptTokenCount"},
	{"4.2", ROW_COUNT, RAW_OUTPUT, "candidatesTokenCount"},
	{"4.3", ROW_COUNT, RAW_TOTAL, "totalTokenCount"},
	{"4.5", ROW_COUNT, RAW_CACHED, "cachedContentTokenCount"},
	{"4.8", ROW_TEXT, TEXT_SERVICE_TIER, NULL}, /* traffic_type */
	MODALITIES("4.9", LIST_INPUT),
	MODALITIES("4.10", LIST_CACHED),
	MODALITIES("4.11", LIST_OUTPUT),
	MODALITIES("4.12", LIST_INPUT), /* of tool results */
	{"4.13", ROW_COUNT, RAW_TOOL_INPUT, "toolUsePromptTokenCount"},
	{"4.14", ROW_COUNT, RAW_REASONING, "thoughtsTokenCount"},
	{"11", ROW_TEXT, TEXT_MODEL, NULL},
	{"13", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"3.1", ROW_REFUSED, 0, NULL},	    /* prompt_feedback, block_reason */
	{"2.2.2.1#", ROW_CONTENT, 0, NULL}, /* candidates, content, parts, text */
	{"2.2.2.5#", ROW_CONTENT, 0, NULL}, /* function_call */
	{"2.7.1", ROW_SEARCH, 0, NULL},	    /* grounding_metadata, web_search_queries */
};

/* The model is a resource: ".../publishers/google/models/gemini-2.0-flash", or an endpoint. */
static const struct request_field request[] = {{"5", "model", "/models/"}, {NULL, NULL, NULL}};

const struct dialect dialect_vertex_grpc = {
	.name = "vertex_grpc",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.wire = WIRE_GRPC,
	.request = request,
	.names = gemini_names,
	.usage_whole = true,
	.item = gemini_modality,
	.finish = gemini_finish,
};

const struct dialect dialect_vertex_grpc_stream = {
	.name = "vertex_grpc_stream",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.wire = WIRE_GRPC_STREAM,
	.request = request,
	.names = gemini_names,
	.usage_whole = true,
	.item = gemini_modality,
	.finish = gemini_finish,
};
