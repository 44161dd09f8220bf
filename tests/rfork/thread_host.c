/* A host whose second thread reaches the safepoint. argv[1]: what the main thread does meanwhile:
 * "waits" for the end of the second, or "ended". As host and as clone it answers each question with
 * how many threads there are, and ends with status 5 when its control socket does: of the main
 * thread if that waits. */
#include "rfork/safepoint.h"
#include "tests/rfork/send_shadow.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool main_waits;
static pthread_t main_thread;

static void serve(void)
{
	uint64_t question;
	struct stat st;
	while (read(3, &question, sizeof(question)) == (ssize_t)sizeof(question)) {
		stat("/proc/self/task", &st);
		uint64_t threads = st.st_nlink - 2; /* "." and ".." */
		if (write(3, &threads, sizeof(threads)) != (ssize_t)sizeof(threads))
			_exit(3);
	}
}

static void *capture(void *arg)
{
	struct safepoint_shadow shadow;
	struct ramet_err err = {0};
	uint64_t first;
	if (!main_waits)
		pthread_join(main_thread, NULL);
	int side = safepoint_capture(3, &shadow, &first, &err);
	if (side == SAFEPOINT_CLONE)
		safepoint_release();
	else if (side < 0 || send_shadow(&shadow) < 0)
		_exit(2);
	serve();
	if (!main_waits)
		_exit(5);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int value = 5;
	main_thread = pthread_self();
	main_waits = argc > 1 && strcmp(argv[1], "waits") == 0;
	if (pthread_create(&thread, NULL, capture, main_waits ? &value : NULL) != 0)
		return 1;
	if (!main_waits)
		pthread_exit(NULL);
	void *ret = NULL;
	pthread_join(thread, &ret);
	return *(int *)ret;
}
