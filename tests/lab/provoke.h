/* What the parts of provoke share. Linux only; runs as PID 1 of a guest of the lab. */
#ifndef PROVOKE_H
#define PROVOKE_H

#include <stddef.h>

#define NOTE_BYTES 256

/* One way to be refused. run returns 0 or an errno, and may leave a remark in note.
   lines: the most denials one run has been seen to log (7.2 logs several for one BPF program). */
struct operation {
    const char *name;
    int (*run)(char *note);
    int lines;
};

extern const struct operation device_operations[], system_operations[], tracing_operations[];

/* 0 or the errno of the last call that gave `result`. */
int result_of(long result);
int opens(const char *path, int flags);
int writes(const char *path, const char *text);
/* At most size - 1 bytes of a file, ended by NUL. */
int reads(const char *path, char *into, size_t size);

#endif
