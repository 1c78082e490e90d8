/*
 * The part of an unwinder that std refers to and, built to abort and without backtraces, never needs: the stack has no frames.
 * Without this, a real unwinder and all that it drags in would be a part of the program.
 */
#include <stddef.h>
#include <stdint.h>

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
