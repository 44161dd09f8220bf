/* int arch_context_save(struct arch_context *ctx): see context.h. The stack is described as it is after the return, so
 * that a clone that jumps to rip continues as if the call had returned 1. */
	.text
	.globl	arch_context_save
	.hidden	arch_context_save
	.type	arch_context_save, @function
arch_context_save:
	.cfi_startproc
	movq	%rbx, 0(%rdi)
	movq	%rbp, 8(%rdi)
	movq	%r12, 16(%rdi)
	movq	%r13, 24(%rdi)
	movq	%r14, 32(%rdi)
	movq	%r15, 40(%rdi)
	leaq	8(%rsp), %rax
	movq	%rax, 48(%rdi)
	movq	(%rsp), %rax
	movq	%rax, 56(%rdi)
	stmxcsr	64(%rdi)
	fnstcw	68(%rdi)
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size	arch_context_save, . - arch_context_save
	.section .note.GNU-stack, "", @progbits
