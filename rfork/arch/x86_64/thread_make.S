/* See thread.h. */
	.text
	.globl	arch_thread_make
	.hidden	arch_thread_make
	.type	arch_thread_make, @function
arch_thread_make:
	.cfi_startproc
	movq	%rsi, %r9	/* ctx: system calls keep it */
	movq	48(%rsi), %rsi	/* stack */
	movq	%rdx, %r10	/* child_tid; parent_tid is the same */
	movq	%rcx, %r8	/* tls */
	movl	$56, %eax	/* clone */
	syscall
	testq	%rax, %rax
	jz	1f
	ret
	.cfi_undefined rip
1:	ldmxcsr	64(%r9)
	fldcw	68(%r9)
	movq	0(%r9), %rbx
	movq	8(%r9), %rbp
	movq	16(%r9), %r12
	movq	24(%r9), %r13
	movq	32(%r9), %r14
	movq	40(%r9), %r15
	movl	$1, %eax
	jmpq	*56(%r9)
	.cfi_endproc
	.size	arch_thread_make, . - arch_thread_make

	.globl	arch_thread_blank
	.hidden	arch_thread_blank
	.type	arch_thread_blank, @function
arch_thread_blank:
	.cfi_startproc
	movl	$0x1f00, %edi	/* CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_PIDFD */
	xorl	%esi, %esi
	xorl	%edx, %edx	/* where the pidfd should go: nowhere */
	xorl	%r10d, %r10d
	xorl	%r8d, %r8d
	movl	$56, %eax	/* clone */
	syscall
	testq	%rax, %rax
	jz	1f
	ret
1:	xorl	%edi, %edi	/* a kernel that lets it live: not on our stack */
	movl	$60, %eax	/* exit */
	syscall
	ud2
	.cfi_endproc
	.size	arch_thread_blank, . - arch_thread_blank

	.globl	arch_signal_return
	.hidden	arch_signal_return
	.type	arch_signal_return, @function
	nop			/* unwinders look at the byte before */
arch_signal_return:
	movq	$15, %rax	/* rt_sigreturn, in the form that unwinders know */
	syscall
	.size	arch_signal_return, . - arch_signal_return
	.section .note.GNU-stack, "", @progbits
