/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon Bedrock: its runtime, and Mantle, which speaks OpenAI's and Anthropic's dialects. What the
 * path names is billed: a model with the prefix of its region, or an ARN.
 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {
	"bedrock-runtime.*.amazonaws.com",
	"bedrock-runtime-fips.*.amazonaws.com",
	"bedrock-runtime.*.vpce.amazonaws.com",
	"bedrock-runtime.*.api.aws",
	"bedrock-runtime-fips.*.api.aws",
	"bedrock-runtime.*.amazonaws.com.cn",
	"bedrock-mantle.*.api.aws",
	NULL,
};

static const char *const regions[] = {
	"af-south-1",	  "ap-east-1",	    "ap-east-2",
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
	"ap-south-1",	  "ap-south-2",	    "ap-southeast-1",
	"ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
	"ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
	"ca-central-1",	  "ca-west-1",	    "cn-north-1",
	"cn-northwest-1", "eu-central-1",   "eu-central-2",
	"eu-north-1",	  "eu-south-1",	    "eu-south-2",
	"eu-west-1",	  "eu-west-2",	    "eu-west-3",
	"il-central-1",	  "me-central-1",   "me-south-1",
	"mx-central-1",	  "sa-east-1",	    "us-east-1",
	"us-east-2",	  "us-gov-east-1",  "us-gov-west-1",
	"us-west-1",	  "us-west-2",	    NULL,
};

#define ON_MODEL(verb, api, dialect)                                 \
	{                                                            \
		"POST", "/model/{model}/" verb, api, "chat", dialect \
	}

static const struct api_path paths[] = {
	ON_MODEL("converse", "converse", &dialect_bedrock_converse),
	ON_MODEL("converse-stream", "converse", &dialect_bedrock_converse),
	ON_MODEL("invoke", "invoke", &dialect_bedrock_invoke),
	ON_MODEL("invoke-with-response-stream", "invoke", &dialect_bedrock_invoke),
	{"POST", "/model/{model}/count-tokens", "count-tokens", "count_tokens", &dialect_free},
	PATHS_OPENAI(&dialect_openai_chat),
	PATHS_MESSAGES,
	PATHS_FREE,
};

/*
 * The ARNs of a foundation model and of AWS's own profiles end in the model's name. Those of an
 * account's profiles, throughput, imports, prompts and routers do not tell it: they stand as they
 * are, for an alias in prices.d.
 */
static struct slice model_of(struct slice name)
{
	static const char *const kinds[] = {":inference-profile/", ":foundation-model/"};

	if (!slice_starts(name, SLICE("arn:")))
		return name;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *at = memmem(name.ptr, name.len, kinds[i], strlen(kinds[i]));

		if (at) {
			at += strlen(kinds[i]);
			return (struct slice){at, (size_t)(name.ptr + name.len - at)};
		}
	}
	return name;
}

const struct provider provider_bedrock = {
	.name = "aws.bedrock",
	.hosts = hosts,
	.regions = regions,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "x-amzn-requestid",
	.request_id_is_answers = true,
	.model_of = model_of,
	.prices = "aws.bedrock",
};
