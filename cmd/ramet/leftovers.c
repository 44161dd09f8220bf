/* Control groups that a killed daemon has left: directories named for its node, in every hierarchy.
 */
#include "cmd/ramet/leftovers.h"

int leftovers_remove(const struct cluster *cluster, struct ramet_err *err)
{
	return 0;
}
