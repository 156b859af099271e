/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the nth allocation of this process fail, in whatever thread and library it happens. Under
 * AddressSanitizer, which has the allocator, only those of our own code: the linker wraps them
 * there (FAULT_LINK in the Makefile), so that leaks behind a failure are found too. Include it once
 * in a program named test_faults*.
 */
#ifndef TT_TEST_FAULTS_H
#define TT_TEST_FAULTS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __SANITIZE_ADDRESS__
#define REAL(function) __real_##function
#define OURS(function) __wrap_##function
#else
#define REAL(function) __libc_##function
#define OURS(function) function
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *ptr, size_t size);
void *OURS(malloc)(size_t size);
void *OURS(calloc)(size_t count, size_t size);
void *OURS(realloc)(void *ptr, size_t size);

static unsigned int fault_at; /* 0: none fails */
static unsigned int fault_allocations;

/* From now on the nth allocation fails, and no other. */
static inline void faults_begin(unsigned int n)
{
	__atomic_store_n(&fault_allocations, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&fault_at, n, __ATOMIC_SEQ_CST);
}

/* None fails any more. Returns whether one did. */
static inline bool faults_end(void)
{
	unsigned int n = __atomic_exchange_n(&fault_at, 0, __ATOMIC_SEQ_CST);

	return __atomic_load_n(&fault_allocations, __ATOMIC_RELAXED) >= n;
}

static bool allocation_fails(void)
{
	unsigned int n = __atomic_load_n(&fault_at, __ATOMIC_RELAXED);

	if (!n || __atomic_add_fetch(&fault_allocations, 1, __ATOMIC_RELAXED) != n)
		return false;
	errno = ENOMEM;
	return true;
}

void *OURS(malloc)(size_t size)
{
	return allocation_fails() ? NULL : REAL(malloc)(size);
}

void *OURS(calloc)(size_t count, size_t size)
{
	return allocation_fails() ? NULL : REAL(calloc)(count, size);
}

void *OURS(realloc)(void *ptr, size_t size)
{
	return allocation_fails() ? NULL : REAL(realloc)(ptr, size);
}

#endif
