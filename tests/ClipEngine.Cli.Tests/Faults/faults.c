/* Preloaded into the program by FaultInjectionTests: makes one call of the C library that concerns a folder fail.
   FAULT_FOLDER  calls on paths below it, and on files opened there, are counted
   FAULT_AT      the number of the call that fails, from 1; 0: none
   FAULT_ERRNO   what it fails with
   FAULT_LOG     takes a line for each counted call: number, name, path */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 4096

static atomic_int g_count;
static int g_at = -1, g_errno = EIO, g_log = -1;
static const char *g_folder;
static size_t g_length;
static char *g_paths[MOST_FILES];

/* The program asks for some functions by dlsym, which would pass by this library. */
static void *(*real_dlsym)(void *, const char *);

static void *next(const char *name)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5"};
    for (size_t i = 0; !real_dlsym && i < sizeof versions / sizeof *versions; i++)
        real_dlsym = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    return real_dlsym ? real_dlsym(RTLD_NEXT, name) : NULL;
}

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("FAULT_AT"), *error = getenv("FAULT_ERRNO"), *log = getenv("FAULT_LOG");
    g_folder = getenv("FAULT_FOLDER");
    g_length = g_folder ? strlen(g_folder) : 0;
    g_at = at ? atoi(at) : 0;
    g_errno = error ? atoi(error) : EIO;
    if (log) {
        int (*real)(const char *, int, ...) = next("open");
        g_log = real(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

/* Whether the call is the one that fails. */
static int fails(const char *name, const char *path)
{
    if (!g_length || !path || strncmp(path, g_folder, g_length) != 0)
        return 0;
    int number = atomic_fetch_add(&g_count, 1) + 1;
    if (g_log >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%d %s %s\n", number, name, path);
        ssize_t (*real)(int, const void *, size_t) = next("write");
        if (real(g_log, line, length < (int)sizeof line ? (size_t)length : sizeof line) < 0)
            g_log = -1;
    }
    if (number != g_at)
        return 0;
    errno = g_errno;
    return 1;
}

static const char *of(int file) { return file >= 0 && file < MOST_FILES ? g_paths[file] : NULL; }

static int keep(int file, const char *path)
{
    if (file >= 0 && file < MOST_FILES) {
        free(g_paths[file]);
        g_paths[file] = g_length && path && strncmp(path, g_folder, g_length) == 0 ? strdup(path) : NULL;
    }
    return file;
}

#define OPEN(NAME)                                                                                    \
    int NAME(const char *path, int flags, ...)                                                        \
    {                                                                                                 \
        va_list rest;                                                                                 \
        va_start(rest, flags);                                                                        \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;                     \
        va_end(rest);                                                                                 \
        int (*real)(const char *, int, ...) = next(#NAME);                                            \
        return fails(flags & O_CREAT ? "create" : "open", path) ? -1 : keep(real(path, flags, mode), path); \
    }
OPEN(open)
OPEN(open64)

#define ON_FILE(RESULT, NAME, PARAMETERS, ARGUMENTS)                     \
    RESULT NAME PARAMETERS                                               \
    {                                                                    \
        RESULT(*real) PARAMETERS = next(#NAME);                          \
        return fails(#NAME, of(file)) ? (RESULT)-1 : real ARGUMENTS;     \
    }
ON_FILE(ssize_t, read, (int file, void *to, size_t n), (file, to, n))
ON_FILE(ssize_t, pread, (int file, void *to, size_t n, off_t at), (file, to, n, at))
ON_FILE(ssize_t, pread64, (int file, void *to, size_t n, off64_t at), (file, to, n, at))
ON_FILE(ssize_t, preadv, (int file, const struct iovec *v, int n, off_t at), (file, v, n, at))
ON_FILE(ssize_t, preadv64, (int file, const struct iovec *v, int n, off64_t at), (file, v, n, at))
ON_FILE(ssize_t, write, (int file, const void *from, size_t n), (file, from, n))
ON_FILE(ssize_t, pwrite, (int file, const void *from, size_t n, off_t at), (file, from, n, at))
ON_FILE(ssize_t, pwrite64, (int file, const void *from, size_t n, off64_t at), (file, from, n, at))
ON_FILE(ssize_t, pwritev, (int file, const struct iovec *v, int n, off_t at), (file, v, n, at))
ON_FILE(ssize_t, pwritev64, (int file, const struct iovec *v, int n, off64_t at), (file, v, n, at))
ON_FILE(int, ftruncate, (int file, off_t n), (file, n))
ON_FILE(int, ftruncate64, (int file, off64_t n), (file, n))
ON_FILE(int, fsync, (int file), (file))
ON_FILE(int, fdatasync, (int file), (file))
ON_FILE(int, flock, (int file, int how), (file, how))
ON_FILE(off_t, lseek, (int file, off_t at, int from), (file, at, from))
ON_FILE(off64_t, lseek64, (int file, off64_t at, int from), (file, at, from))
ON_FILE(int, fstat, (int file, struct stat *s), (file, s))
ON_FILE(int, fstat64, (int file, struct stat64 *s), (file, s))

int close(int file)
{
    int (*real)(int) = next("close");
    const char *path = of(file);
    int failed = path ? fails("close", path) : 0;
    if (path)
        keep(file, NULL);
    int result = real(file);
    if (failed) {
        errno = g_errno;
        return -1;
    }
    return result;
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t at)
{
    void *(*real)(void *, size_t, int, int, int, off_t) = next("mmap");
    return file >= 0 && fails("mmap", of(file)) ? MAP_FAILED : real(address, length, protection, flags, file, at);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off64_t at)
{
    void *(*real)(void *, size_t, int, int, int, off64_t) = next("mmap64");
    return file >= 0 && fails("mmap", of(file)) ? MAP_FAILED : real(address, length, protection, flags, file, at);
}

#define ON_PATH(RESULT, NAME, PARAMETERS, ARGUMENTS, FAILURE)       \
    RESULT NAME PARAMETERS                                          \
    {                                                               \
        RESULT(*real) PARAMETERS = next(#NAME);                     \
        return fails(#NAME, path) ? FAILURE : real ARGUMENTS;       \
    }
ON_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
ON_PATH(int, unlink, (const char *path), (path), -1)
ON_PATH(int, rmdir, (const char *path), (path), -1)
ON_PATH(int, stat, (const char *path, struct stat *s), (path, s), -1)
ON_PATH(int, stat64, (const char *path, struct stat64 *s), (path, s), -1)
ON_PATH(int, lstat, (const char *path, struct stat *s), (path, s), -1)
ON_PATH(int, lstat64, (const char *path, struct stat64 *s), (path, s), -1)
ON_PATH(int, access, (const char *path, int mode), (path, mode), -1)
ON_PATH(DIR *, opendir, (const char *path), (path), NULL)
ON_PATH(ssize_t, readlink, (const char *path, char *to, size_t n), (path, to, n), -1)
ON_PATH(int, rename, (const char *path, const char *to), (path, to), -1)

int symlink(const char *target, const char *path)
{
    int (*real)(const char *, const char *) = next("symlink");
    return fails("symlink", path) ? -1 : real(target, path);
}

/* What programs built against an older C library call. */
ON_PATH(int, __xstat64, (int version, const char *path, struct stat64 *s), (version, path, s), -1)
ON_PATH(int, __lxstat64, (int version, const char *path, struct stat64 *s), (version, path, s), -1)
ON_FILE(int, __fxstat64, (int version, int file, struct stat64 *s), (version, file, s))

int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict s)
{
    int (*real)(int, const char *restrict, int, unsigned, struct statx *restrict) = next("statx");
    return fails("statx", *path ? path : of(folder)) ? -1 : real(folder, path, flags, mask, s);
}

void *dlsym(void *restrict handle, const char *restrict name)
{
    static const struct { const char *name; void *function; } ours[] = {
        {"open", (void *)open}, {"close", (void *)close}, {"fsync", (void *)fsync}, {"statx", (void *)statx},
    };
    void *found = next("dlsym") ? real_dlsym(handle, name) : NULL;
    for (size_t i = 0; found && i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(name, ours[i].name) == 0)
            return ours[i].function;
    }
    return found;
}
