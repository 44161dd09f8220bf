/* The stub's entry, and the last instructions it runs in a clone. */
	.text
	.globl	_start
	.type	_start, @function
_start:
	xorl	%ebp, %ebp
	leaq	stub_stack_top(%rip), %rsp	/* the kernel's stack is about to be unmapped */
	call	stub_main
	ud2

/* long stub_fork(unsigned long flags, void *stack, void *tid_address, void (*fn)(void *), void *arg): clone(2) whose child
 * calls fn(arg) on a stack of its own */
	.globl	stub_fork
	.type	stub_fork, @function
stub_fork:
	movq	%rdx, %r10
	movq	%rcx, %r9	/* fn and, where the kernel expects what is not asked for, arg: system calls keep both */
	xorl	%edx, %edx
	movl	$56, %eax	/* clone */
	syscall
	testq	%rax, %rax
	jz	1f
	ret
1:	xorl	%ebp, %ebp
	movq	%r8, %rdi
	call	*%r9
	ud2

/* void stub_resume(const struct arch_context *ctx, const uint64_t *sigmask): become the captured thread;
 * arch_context_save() returns 1. Signals come through once its own stack is there: the stub's has no room for them. */
	.globl	stub_resume
	.type	stub_resume, @function
stub_resume:
	ldmxcsr	64(%rdi)
	fldcw	68(%rdi)
	movq	0(%rdi), %rbx
	movq	8(%rdi), %rbp
	movq	16(%rdi), %r12
	movq	24(%rdi), %r13
	movq	32(%rdi), %r14
	movq	40(%rdi), %r15
	movq	48(%rdi), %rsp
	movq	56(%rdi), %r9
	movl	$2, %edi	/* SIG_SETMASK; the set is in rsi */
	xorl	%edx, %edx
	movl	$8, %r10d
	movl	$14, %eax	/* rt_sigprocmask; it keeps r9, and so does a handler that runs at its end */
	syscall
	movl	$1, %eax
	jmpq	*%r9

	.bss
	.balign	4096
stub_stack:
	.skip	32768
	.globl	stub_stack_top
stub_stack_top:
	.section .note.GNU-stack, "", @progbits
