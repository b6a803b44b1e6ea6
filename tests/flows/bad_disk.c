/* A disk that fails under a running process: LD_PRELOADed, it stands between SQLite and the C library and watches the
 * writes to the files named in RENEWAGENT_BAD_DISK's folder. While the file "plan" lies there ("kill 3", "readonly 0"),
 * the write with that number from then on is the process's last (SIGKILL, before that write is done), or fails, and all after
 * it. The kernel refuses to make a disk read-only on which a file is open for writing, so it takes this to see one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int left = -1;

static int is_journal(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    char *name = strrchr(path, '/');
    return name && (!strcmp(name, "/journal.db-wal") || !strcmp(name, "/journal.db"));
}

/* The error that a write gets; 0 for none. */
static int fate(int descriptor) {
    const char *folder = getenv("RENEWAGENT_BAD_DISK");
    char path[4096], what[16] = "";
    int number = 0;
    if (!folder || !is_journal(descriptor)) return 0;
    snprintf(path, sizeof path, "%s/plan", folder);
    FILE *plan = fopen(path, "r");
    if (!plan) {
        left = -1;
        return 0;
    }
    int found = fscanf(plan, "%15s %d", what, &number);
    fclose(plan);
    if (found != 2) return 0;
    if (left < 0) left = number;
    if (left > 0) {
        left--;
        return 0;
    }
    snprintf(path, sizeof path, "%s/struck", folder);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!strcmp(what, "kill")) kill(getpid(), SIGKILL);
    return !strcmp(what, "readonly") ? EROFS : !strcmp(what, "full") ? ENOSPC : EIO;
}

typedef ssize_t (*writer)(int, const void *, size_t, off64_t);

static ssize_t guarded(const char *name, int descriptor, const void *octets, size_t count, off64_t offset) {
    int error = fate(descriptor);
    if (error) {
        errno = error;
        return -1;
    }
    return ((writer)dlsym(RTLD_NEXT, name))(descriptor, octets, count, offset);
}

ssize_t pwrite64(int descriptor, const void *octets, size_t count, off64_t offset) {
    return guarded("pwrite64", descriptor, octets, count, offset);
}

ssize_t pwrite(int descriptor, const void *octets, size_t count, off_t offset) {
    return guarded("pwrite", descriptor, octets, count, offset);
}
