/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/publisher.h"

#include "agent/base/log.h"
#include "agent/status.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct publisher {
	const char *dir;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	cJSON *waiting;
	bool writing;
	bool stopping;
	bool failing; /* the thread's */
};

static void write_one(struct publisher *p, const cJSON *status)
{
	int err = status_write(p->dir, status);

	if (err && !p->failing)
		log_warn("status", "%s/" STATUS_FILE " not written: %s", p->dir, strerror(-err));
	p->failing = err != 0;
}

/* The next to write, the caller's; NULL at the end. */
static cJSON *take(struct publisher *p)
{
	cJSON *status;

	pthread_mutex_lock(&p->lock);
	p->writing = false;
	pthread_cond_broadcast(&p->changed);
	while (!p->waiting && !p->stopping)
		pthread_cond_wait(&p->changed, &p->lock);
	status = p->waiting;
	p->waiting = NULL;
	p->writing = status != NULL;
	pthread_mutex_unlock(&p->lock);
	return status;
}

static void *publish(void *arg)
{
	struct publisher *p = arg;
	cJSON *status;

	while ((status = take(p))) {
		write_one(p, status);
		cJSON_Delete(status);
	}
	return NULL;
}

int publisher_start(struct publisher **out, const char *dir)
{
	struct publisher *p = calloc(1, sizeof(*p));
	sigset_t all, before;
	int err;

	if (!p)
		return -ENOMEM;
	p->dir = dir;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	sigfillset(&all); /* signals are the main loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&p->thread, NULL, publish, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		free(p);
		return -err;
	}
	*out = p;
	return 0;
}

void publisher_put(struct publisher *p, cJSON *status)
{
	cJSON *old;

	pthread_mutex_lock(&p->lock);
	old = p->waiting;
	p->waiting = status;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	cJSON_Delete(old);
}

void publisher_flush(struct publisher *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->waiting || p->writing)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void publisher_stop(struct publisher *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	cJSON_Delete(p->waiting);
	free(p);
}
