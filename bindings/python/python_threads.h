/* The kernel's ids of an interpreter's threads, which may be others in a clone: Python keeps its
 * own copy of them. */
#ifndef BINDINGS_PYTHON_PYTHON_THREADS_H
#define BINDINGS_PYTHON_PYTHON_THREADS_H

/* python_threads_learn - before a capture: where the C library keeps a thread's id */
void python_threads_learn(void);
/* python_threads_id - of a living thread, by its pthread_self(); 0: not known */
int python_threads_id(unsigned long ident);

#endif
