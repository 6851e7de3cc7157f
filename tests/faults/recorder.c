/* A preloaded witness of every change a process makes to the files below one folder.
 *
 * RECORDER_DIR    the folder that is watched
 * RECORDER_LOG    where each change is written down, in order (see record() for the form)
 * RECORDER_FAIL   N:ERRNO[:KIND]  the Nth change (from 1) fails once, nothing is done; KIND w or s
 *                 counts only writes and truncations, or only syncs
 * RECORDER_SLEEP  MIN:MAX  milliseconds each sync takes longer
 *
 * Shared memory of the write-ahead log is mapped, not written, and is rebuilt after a power cut,
 * so it needs no witness. Changes of names (create, rename, unlink) are written down as well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FD_MAX 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int32_t file_of[FD_MAX]; /* 0: not watched, else the file's number */
static char never_fails[FD_MAX]; /* the list of acknowledgements: witness, not card */
static int32_t files;
static int log_fd = -1;
static long changes, fail_at, sleep_min, sleep_max;
static int fail_errno;
static char fail_kind;
static unsigned seed = 1;
static const char *folder;
static size_t folder_bytes;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void begin(void) {
  real_open = dlsym(RTLD_NEXT, "open64");
  real_openat = dlsym(RTLD_NEXT, "openat64");
  real_close = dlsym(RTLD_NEXT, "close");
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_rename = dlsym(RTLD_NEXT, "rename");
  const char *log = getenv("RECORDER_LOG"), *fail = getenv("RECORDER_FAIL"), *nap = getenv("RECORDER_SLEEP");
  folder = getenv("RECORDER_DIR");
  folder_bytes = folder ? strlen(folder) : 0;
  if (log) log_fd = real_open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fail) sscanf(fail, "%ld:%d:%c", &fail_at, &fail_errno, &fail_kind);
  if (nap) sscanf(nap, "%ld:%ld", &sleep_min, &sleep_max);
}

/* u8 kind, i32 file, u64 offset, u32 length, then that many bytes; little endian. */
static void record(char kind, int32_t file, uint64_t offset, const void *data, uint32_t length) {
  if (log_fd < 0) return;
  char head[17];
  head[0] = kind;
  memcpy(head + 1, &file, 4);
  memcpy(head + 5, &offset, 8);
  memcpy(head + 13, &length, 4);
  if (real_write(log_fd, head, sizeof head) != sizeof head) abort();
  if (length && real_write(log_fd, data, length) != (ssize_t)length) abort();
}

static int watched(const char *path) {
  return folder && path && strncmp(path, folder, folder_bytes) == 0 && !strstr(path, "-shm");
}

static int file(int fd) { return fd >= 0 && fd < FD_MAX ? file_of[fd] : 0; }

/* Called with the lock held, before a change; 0, or the error it has to fail with. */
static int counted(int fd, char kind) {
  if (never_fails[fd]) return 0;
  if (fail_kind && fail_kind != kind) return 0;
  if (++changes != fail_at) return 0;
  record('F', 0, changes, "", 0);
  return fail_errno;
}

static int opened(int fd, const char *path) {
  struct stat what;
  if (fd >= 0 && fd < FD_MAX && watched(path) && fstat(fd, &what) == 0 && S_ISREG(what.st_mode)) {
    pthread_mutex_lock(&lock);
    file_of[fd] = ++files;
    never_fails[fd] = strstr(path, "/acks") != NULL;
    record('O', files, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
  }
  return fd;
}

#define MODE(flags) \
  int mode = 0; \
  if ((flags) & O_CREAT) { va_list list; va_start(list, flags); mode = va_arg(list, int); va_end(list); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(real_open(path, flags, mode), path); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(real_open(path, flags, mode), path); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(real_openat(at, path, flags, mode), path); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(real_openat(at, path, flags, mode), path); }

int close(int fd) {
  if (file(fd)) {
    pthread_mutex_lock(&lock);
    file_of[fd] = 0;
    pthread_mutex_unlock(&lock);
  }
  return real_close(fd);
}

static ssize_t written(int fd, const void *data, size_t length, off_t offset, int at_end) {
  pthread_mutex_lock(&lock);
  int error = counted(fd, 'w');
  ssize_t done = -1;
  if (!error) {
    if (at_end) offset = lseek(fd, 0, SEEK_CUR);
    done = at_end ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
    error = errno;
    if (done > 0) record('W', file(fd), offset, data, done);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

ssize_t write(int fd, const void *data, size_t length) {
  return file(fd) ? written(fd, data, length, 0, 1) : real_write(fd, data, length);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  return file(fd) ? written(fd, data, length, offset, 0) : real_pwrite(fd, data, length, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) { return pwrite(fd, data, length, offset); }

int ftruncate(int fd, off_t length) {
  if (!file(fd)) return real_ftruncate(fd, length);
  pthread_mutex_lock(&lock);
  int error = counted(fd, 'w'), done = -1;
  if (!error) {
    done = real_ftruncate(fd, length);
    error = errno;
    if (done == 0) record('T', file(fd), length, "", 0);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

static int synced(int fd, int (*sync)(int)) {
  if (!file(fd)) return sync(fd);
  pthread_mutex_lock(&lock);
  int error = counted(fd, 's');
  /* What a sync promises holds for what was written before it began. */
  if (!error) record('B', file(fd), 0, "", 0);
  long nap = sleep_min;
  if (sleep_max > sleep_min) nap += rand_r(&seed) % (sleep_max - sleep_min + 1);
  pthread_mutex_unlock(&lock);
  if (error) {
    errno = error;
    return -1;
  }
  if (nap) {
    struct timespec wait = {nap / 1000, nap % 1000 * 1000000};
    nanosleep(&wait, NULL);
  } else {
    /* The replay decides what lasted; a real wait would only cost the test its time. */
    (void)sync;
  }
  pthread_mutex_lock(&lock);
  record('S', file(fd), 0, "", 0);
  pthread_mutex_unlock(&lock);
  return 0;
}
int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int unlink(const char *path) {
  int done = real_unlink(path);
  if (done == 0 && watched(path)) {
    pthread_mutex_lock(&lock);
    record('U', 0, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
  }
  return done;
}

int rename(const char *from, const char *to) {
  int done = real_rename(from, to);
  if (done == 0 && (watched(from) || watched(to))) {
    pthread_mutex_lock(&lock);
    char both[2 * 4096];
    int length = snprintf(both, sizeof both, "%s\n%s", from, to);
    record('R', 0, 0, both, length);
    pthread_mutex_unlock(&lock);
  }
  return done;
}
