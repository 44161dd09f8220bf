/* "did you mean": the word that is closest to a misspelt one. */
#ifndef LIBRAMET_SUGGEST_H
#define LIBRAMET_SUGGEST_H

#include <stddef.h>

struct suggestion {
	const char *word; /* the closest so far, or NULL: none is close */
	unsigned distance;
};

/* suggest_try - keep candidate if it is closer to word than what is kept, and close enough to be meant */
void suggest_try(struct suggestion *suggestion, const char *word, const char *candidate);

#endif
