/* "Did you mean": the edit distance between what was written and what could have been. */
#include "base/cleanup.h"
#include "base/conf.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 40

/* insertions, deletions, substitutions and swaps of neighbours, each counting 1 */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[3][WORD_MAX + 1];
	unsigned *before = row[0], *last = row[1], *now = row[2];
	for (unsigned j = 0; j <= b_len; j++)
		last[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		now[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			unsigned d = last[j - 1] + (a[i - 1] != b[j - 1]);
			d = MIN(d, last[j] + 1);
			d = MIN(d, now[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = MIN(d, before[j - 2] + 1);
			now[j] = d;
		}
		unsigned *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[b_len];
}

const char *conf_nearest(const char *word, const char *const *words)
{
	const char *best = NULL;
	size_t len = strlen(word);
	unsigned best_distance = (unsigned)MAX(len / 3, 1u) + 1; /* more is another word */
	if (len > WORD_MAX)
		return NULL;
	for (; *words; words++) {
		size_t other = strlen(*words);
		if (other > WORD_MAX)
			continue;
		unsigned d = distance(word, len, *words, other);
		if (d < best_distance && d < other) {
			best = *words;
			best_distance = d;
		}
	}
	return best;
}
