/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS library in shape only: its _ex calls enter the plain ones, as LibreSSL's and AWS-LC's do.
 */
#include <stddef.h>

int SSL_write(void *ssl, const void *buf, int len);
int SSL_read(void *ssl, void *buf, int len);
int SSL_write_ex(void *ssl, const void *buf, size_t len, size_t *written);
int SSL_read_ex(void *ssl, void *buf, size_t len, size_t *got);

int SSL_write(void *ssl, const void *buf, int len)
{
	(void)ssl;
	__asm__ volatile("" : : "r"(buf) : "memory");
	return len;
}

int SSL_read(void *ssl, void *buf, int len)
{
	(void)ssl;
	for (int i = 0; i < len; i++)
		((unsigned char *)buf)[i] = i * 13 + i / 256;
	return len;
}

int SSL_write_ex(void *ssl, const void *buf, size_t len, size_t *written)
{
	int n = SSL_write(ssl, buf, len);

	*written = n;
	return n > 0;
}

int SSL_read_ex(void *ssl, void *buf, size_t len, size_t *got)
{
	int n = SSL_read(ssl, buf, len);

	*got = n;
	return n > 0;
}
