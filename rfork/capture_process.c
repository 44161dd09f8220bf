/* Reading /proc of the shadow, and its own account of itself (struct safepoint_state), which is
 * checked. */
#include "rfork/capture_process.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"

#include <fcntl.h>
#include <string.h>

int capture_process_pid(int pidfd, pid_t *ret_pid, struct ramet_err *err)
{
	char path[64], line[128];
	long pid = -1;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	auto_fclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "Pid:", 4) == 0)
			pid = strtol(line + 4, NULL, 10);
	if (pid <= 0)
		return err_set(err, RAMET_EIO, "capture: the shadow is gone, or is not a process");
	*ret_pid = (pid_t)pid;
	return 0;
}

int capture_process_traced(pid_t pid, struct ramet_err *err)
{
	char path[64], line[128], name[32] = "?";
	long tracer = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	auto_fclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "TracerPid:", 10) == 0)
			tracer = strtol(line + 10, NULL, 10);
	if (tracer <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%ld/comm", tracer);
	auto_fclose FILE *comm = fopen(path, "re");
	if (comm && fgets(name, sizeof(name), comm))
		name[strcspn(name, "\n")] = '\0';
	return err_set(err, RAMET_EREFUSED,
		"capture refused: process %ld (%s) traces the host, and what a debugger has set "
		"would be in every clone",
		tracer, name);
}

int capture_process_state(
	pid_t pid, uint64_t addr, struct safepoint_state *ret_state, struct ramet_err *err)
{
	char path[64];
	struct safepoint_state state;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	auto_close int mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	if (addr > RFORK_USER_END ||
		pread(mem, &state, sizeof(state), (off_t)addr) != (ssize_t)sizeof(state))
		return err_set(err, RAMET_EPROTO, "capture: the host's state cannot be read");
	if (state.magic != SAFEPOINT_MAGIC || state.size != sizeof(state) || !state.complete)
		return err_set(err, RAMET_EVERSION,
			"capture: the host's library is of another version, or its state is "
			"damaged");
	state.process.comm[sizeof(state.process.comm) - 1] = '\0';
	state.missing.name[sizeof(state.missing.name) - 1] = '\0';
	*ret_state = state;
	return 0;
}

/* fields of /proc/<pid>/stat, numbered as proc(5) does; the name in field 2 may hold anything */
static int read_layout(pid_t pid, struct seed_mm *mm, struct ramet_err *err)
{
	char path[64], text[2048];
	uint64_t field[53] = {0};
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return err_errno(err, RAMET_EIO, "read %s", path);
	text[n] = '\0';
	char *at = strrchr(text, ')');
	at = at ? strchr(at + 2, ' ') : NULL;
	for (int i = 4; at && i <= 52; i++)
		field[i] = strtoull(at, &at, 10);
	if (!field[28])
		return err_set(err, RAMET_EPERM,
			"%s hides the memory layout: not allowed to trace the shadow", path);
	*mm = (struct seed_mm){.start_code = field[26],
		.end_code = field[27],
		.start_stack = field[28],
		.start_data = field[45],
		.end_data = field[46],
		.start_brk = field[47],
		.arg_start = field[48],
		.arg_end = field[49],
		.env_start = field[50],
		.env_end = field[51]};
	return 0;
}

static int read_auxv(pid_t pid, struct descriptor_build *b, struct ramet_err *err)
{
	char path[64];
	uint64_t auxv[128];
	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, auxv, sizeof(auxv));
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read %s", path);
	buf_append(&b->auxv, auxv, (size_t)n / 16 * 16);
	return 0;
}

int capture_process_begin(pid_t pid, const struct safepoint_state *state,
	const struct capture_request *request, struct descriptor_build *b, struct ramet_err *err)
{
	char path[64], cwd[512];
	snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
	ssize_t n = readlink(path, cwd, sizeof(cwd) - 1);
	cwd[n > 0 ? n : 0] = '\0';
	if (fault_hit("capture.cwd"))
		cwd[0] = '\0';
	descriptor_build_init(b, n > 0 && cwd[0] == '/' ? cwd : "/");
	struct descriptor_header *h = &b->header;
	memcpy(h->seed_id, request->seed_id, sizeof(h->seed_id));
	h->epoch = request->epoch;
	h->class_id = request->class_id;
	snprintf(h->class_text, sizeof(h->class_text), "%s", request->class_text);
	h->mono_ns = clock_ns(CLOCK_MONOTONIC);
	h->boot_ns = clock_ns(CLOCK_BOOTTIME);
	h->process = state->process;
	if (fault_hit("capture.context")) {
		h->process.context.mxcsr = 0x1f80;
		h->process.context.fcw = 0x37f;
	}
	if (fault_hit("capture.signals")) {
		memset(h->process.sigactions, 0, sizeof(h->process.sigactions));
		h->process.altstack_size = 0;
		h->process.sigmask = 0;
	}
	if (fault_hit("capture.umask"))
		h->process.umask = 0;
	int rc = read_layout(pid, &h->mm, err);
	h->mm.brk = fault_hit("capture.brk") ? h->mm.start_brk : state->brk;
	return rc < 0 ? rc : read_auxv(pid, b, err);
}

int capture_process_executable(pid_t pid, struct descriptor_build *b, struct ramet_err *err)
{
	char path[64], exe[512];
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	ssize_t n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return err_errno(err, RAMET_EIO, "read %s", path);
	exe[n] = '\0';
	descriptor_build_file(b, exe, fault_hit("capture.executable") ? 0 : SEED_FILE_EXE);
	return 0;
}
