/* A sum by OpenMP's pool of threads, for state_openmp.c: a library of its own, since only this one
 * case wants libgomp in its process. */
#include <stdint.h>

__attribute__((visibility("default"))) uint64_t openmp_sum(uint64_t n, int *ret_threads);

uint64_t openmp_sum(uint64_t n, int *ret_threads)
{
	uint64_t sum = 0;
	int threads = 0;
#pragma omp parallel num_threads(4)
	{
#pragma omp atomic
		threads++;
#pragma omp for reduction(+ : sum)
		for (uint64_t i = 1; i <= n; i++)
			sum += i;
	}
	*ret_threads = threads;
	return sum;
}
