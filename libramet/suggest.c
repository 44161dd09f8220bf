/* Edit distance (insert, delete, replace, swap of neighbours) between short words. */
#include "libramet/suggest.h"

#include "base/cleanup.h"

#include <string.h>

#define MAX_WORD 40

static unsigned distance(const char *a, size_t la, const char *b, size_t lb)
{
	unsigned rows[3][MAX_WORD + 1]; /* of the matrix: before last, last, current */
	unsigned *older = rows[0], *old = rows[1], *row = rows[2];
	for (size_t j = 0; j <= lb; j++)
		old[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = old[j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN(best, old[j] + 1);
			best = MIN(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, older[j - 2] + 1);
			row[j] = best;
		}
		unsigned *spare = older;
		older = old;
		old = row;
		row = spare;
	}
	return old[lb];
}

void suggest_try(struct suggestion *suggestion, const char *word, const char *candidate)
{
	size_t la = strlen(word), lb = strlen(candidate);
	if (la > MAX_WORD || lb > MAX_WORD)
		return;
	unsigned d = distance(word, la, candidate, lb);
	unsigned close = lb <= 3 ? 1 : lb <= 5 ? 2 : 3;
	if (d > close || d >= lb || (suggestion->word && d >= suggestion->distance))
		return;
	suggestion->word = candidate;
	suggestion->distance = d;
}
