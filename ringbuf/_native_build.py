"""Shell: builds `ringbuf._native`, the few C functions that need the C library's headers.

setup.py names `ffibuilder`; run as a module, it builds the extension beside this file.
"""

import shutil
import tempfile
from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).resolve().parent

ffibuilder = FFI()
ffibuilder.cdef(
    """
    int ringbuf_lock_initialise(void *mutex);
    int ringbuf_lock_word_offset(void);
    int ringbuf_lock_size(void);
    int ringbuf_barrier_register(void);
    int ringbuf_set_dumpable(int dumpable);
    int ringbuf_die_with_parent(void);
    int ringbuf_mark_crashes(int *lock, int64_t *epoch, int64_t *crashed);
    void ringbuf_mark_crash(void);
    int ringbuf_lock_memory(void *start, size_t size);
    int ringbuf_populate(void *start, size_t size);
    """
)
ffibuilder.set_source("ringbuf._native", (_HERE / "_native.c").read_text(encoding="utf-8"))

if __name__ == "__main__":
    # Elsewhere, because cffi writes a `_native.c` of its own.
    with tempfile.TemporaryDirectory() as folder:
        built = Path(ffibuilder.compile(tmpdir=folder))
        shutil.copy(built, _HERE / built.name)
