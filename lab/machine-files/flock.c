/* `flock -n FD`, which Debian leaves out of its busybox: the official busybox image has it. */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "-n") != 0)
        return 2;
    return flock(atoi(argv[2]), LOCK_EX | LOCK_NB) == 0 ? 0 : 1;
}
