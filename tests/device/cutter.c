/* A preloaded hand at the switch: counts the changes a process makes to files below one folder,
 * and at one of them ends the process, lets the change fail, or loses it.
 *
 * CUT_DIR  the folder
 * CUT_AT   the change, from 1; the last line of CUT_LOG says how many there were
 * CUT_HOW  kill, lose (a write says that it is done and is not), or a number: fail with that errno
 * CUT_LOG  a file outside the folder that gets one letter a change
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static const char *folder, *how;
static size_t folder_bytes;
static long cut_at, changes;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
  const char *at = getenv("CUT_AT"), *log = getenv("CUT_LOG");
  folder = getenv("CUT_DIR");
  folder_bytes = folder ? strlen(folder) : 0;
  how = getenv("CUT_HOW");
  cut_at = at ? atol(at) : 0;
  if (log) log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static int below(const char *path) {
  return folder && path && strncmp(path, folder, folder_bytes) == 0 && !strstr(path, "-shm");
}

static int watched(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

/* 0: go on; 1: pretend; -1: fail, errno is set. */
static int change(char kind) {
  ssize_t noted = log_fd >= 0 ? syscall(SYS_write, log_fd, &kind, 1) : 0;
  (void)noted;
  if (++changes != cut_at) return 0;
  if (strcmp(how, "kill") == 0) kill(getpid(), SIGKILL);
  if (strcmp(how, "lose") == 0) return kind == 'w';
  errno = atoi(how);
  return -1;
}

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

ssize_t write(int fd, const void *data, size_t length) {
  if (watched(fd)) {
    int what = change('w');
    if (what < 0) return -1;
    if (what > 0) return lseek(fd, length, SEEK_CUR) < 0 ? -1 : (ssize_t)length;
  }
  return REAL(write, fd, data, length);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  if (watched(fd)) {
    int what = change('w');
    if (what < 0) return -1;
    if (what > 0) return length;
  }
  return REAL(pwrite64, fd, data, length, offset);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  return pwrite64(fd, data, length, offset);
}
int ftruncate64(int fd, off64_t length) {
  return watched(fd) && change('t') ? -1 : REAL(ftruncate64, fd, length);
}
int fsync(int fd) { return watched(fd) && change('s') ? -1 : REAL(fsync, fd); }
int fdatasync(int fd) { return watched(fd) && change('s') ? -1 : REAL(fdatasync, fd); }
int rename(const char *from, const char *to) {
  return below(to) && change('r') ? -1 : REAL(rename, from, to);
}
int unlink(const char *path) { return below(path) && change('u') ? -1 : REAL(unlink, path); }
