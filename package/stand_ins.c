/*
 * What stands in for parts of libraries that would bring much along.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/*
 * The part of an unwinder that std refers to and, built to abort and without backtraces, never needs: the stack has no frames.
 */
int _Unwind_Backtrace(void *callback, void *argument)
{
	(void)callback;
	(void)argument;
	return 5; /* _URC_END_OF_STACK */
}

uintptr_t _Unwind_GetIP(void *context)
{
	(void)context;
	return 0;
}

uintptr_t _Unwind_GetIPInfo(void *context, int *before)
{
	(void)context;
	*before = 0;
	return 0;
}

/* ARM's way to ask for a register. */
int _Unwind_VRS_Get(void *context, int class, uint32_t number, int representation, void *value)
{
	(void)context;
	(void)class;
	(void)number;
	(void)representation;
	*(uint32_t *)value = 0;
	return 0; /* _UVRSR_OK */
}

uintptr_t _Unwind_GetCFA(void *context)
{
	(void)context;
	return 0;
}

void *_Unwind_FindEnclosingFunction(void *address)
{
	(void)address;
	return NULL;
}

/*
 * musl's can name other threads, too, by a path that it makes with snprintf: nobody else prints with the C library, and that is 14 KB with the
 * arithmetic of its floating point. std names a thread from within.
 */
int pthread_setname_np(pthread_t thread, const char *name)
{
	if (!pthread_equal(thread, pthread_self()))
		return ENOSYS;
	return prctl(PR_SET_NAME, (unsigned long)name, 0UL, 0UL, 0UL) ? errno : 0;
}

/*
 * musl sorts nothing but a name's addresses, of which it takes 48 at most. By insertion: each is moved to its place one by one.
 */
void qsort(void *list, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	for (size_t taken = 1; taken < count; taken++)
		for (char *one = (char *)list + taken * size; one != list && compare(one - size, one) > 0; one -= size)
			for (size_t at = 0; at < size; at++) {
				char byte = one[at];
				one[at] = one[at - size];
				one[at - size] = byte;
			}
}

/*
 * musl asks whether a host's name is text. Nobody sets a locale, and in the one that programs begin with every byte is a character.
 */
size_t mbstowcs(wchar_t *restrict to, const char *restrict from, size_t room)
{
	if (!to)
		return strlen(from);
	errno = ENOSYS;
	(void)room;
	return (size_t)-1;
}
