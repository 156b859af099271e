/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/process.h"

#include "exporter/promtext.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define PICO_PER_US 1000000

static bool cpu_us(int64_t *us)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return false;
	*us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec +
	      usage.ru_stime.tv_usec;
	return true;
}

static bool memory_bytes(int64_t *virtual_bytes, int64_t *resident_bytes)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long pages[2];
	int n = f ? fscanf(f, "%lld %lld", &pages[0], &pages[1]) : 0;
	long page = sysconf(_SC_PAGESIZE);

	if (f)
		fclose(f);
	if (n != 2)
		return false;
	*virtual_bytes = pages[0] * page;
	*resident_bytes = pages[1] * page;
	return true;
}

static bool open_fds(int64_t *count)
{
	DIR *fds = opendir("/proc/self/fd");

	if (!fds)
		return false;
	*count = -3; /* ".", ".." and the directory itself */
	while (readdir(fds))
		++*count;
	closedir(fds);
	return true;
}

static void gauge(struct text *out, const char *name, const char *help, int64_t value, bool om)
{
	const struct prom_family family = {name, PROM_GAUGE, help};

	promtext_family(out, &family, om);
	promtext_uint(out, &family, "", (uint64_t)value);
}

void process_metrics(struct text *out, int64_t started_us, bool openmetrics)
{
	static const struct prom_family cpu = {"process_cpu_seconds", PROM_COUNTER,
					       "CPU time of the agent, user and system."};
	static const struct prom_family start = {"process_start_time_seconds", PROM_GAUGE,
						 "When the agent started, Unix time."};
	int64_t us, virtual_bytes, resident_bytes, fds;
	struct rlimit limit;

	if (cpu_us(&us)) {
		promtext_family(out, &cpu, openmetrics);
		promtext_pico(out, &cpu, "", (pusd_sum)us * PICO_PER_US);
	}
	if (memory_bytes(&virtual_bytes, &resident_bytes)) {
		gauge(out, "process_resident_memory_bytes", "Resident memory of the agent.",
		      resident_bytes, openmetrics);
		gauge(out, "process_virtual_memory_bytes", "Virtual memory of the agent.",
		      virtual_bytes, openmetrics);
	}
	if (open_fds(&fds))
		gauge(out, "process_open_fds", "Open file descriptors of the agent.", fds,
		      openmetrics);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		gauge(out, "process_max_fds", "Limit of open file descriptors.",
		      (int64_t)limit.rlim_cur, openmetrics);
	promtext_family(out, &start, openmetrics);
	promtext_pico(out, &start, "", (pusd_sum)started_us * PICO_PER_US);
}
