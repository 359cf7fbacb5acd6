# What the compiled units do with a socket past the transport that owns it: included by _gather.pxi.

cdef extern from *:
    """
    #if defined(__unix__) || defined(__APPLE__)
    #include <errno.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
    #endif
    #ifndef MSG_MORE
    #define MSG_MORE 0
    #endif
    #define AB_SOCKETS 1
    typedef struct iovec ab_part;

    /* How many octets of all parts the system has taken, without waiting; 0: none, for whatever reason. `is_last`: FIN
       follows, if that is all of them (`size`), in one segment with them where the system can wait for it. */
    static Py_ssize_t ab_send(int fd, ab_part *parts, int count, Py_ssize_t size, int is_last)
    {
        struct msghdr message;
        Py_ssize_t sent;
        int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (is_last ? MSG_MORE : 0);
        if (count == 1) {
            sent = send(fd, parts->iov_base, parts->iov_len, flags);
        } else {
            memset(&message, 0, sizeof message);
            message.msg_iov = parts;
            message.msg_iovlen = count;
            sent = sendmsg(fd, &message, flags);
        }
        if (is_last && sent == size)
            shutdown(fd, SHUT_WR);
        return sent < 0 ? 0 : sent;
    }

    /* How many octets have come into the parts, without waiting; 0: the peer's end; -1: none now; below: -1 - errno. */
    static Py_ssize_t ab_receive(int fd, ab_part *parts, int count)
    {
        struct msghdr message;
        Py_ssize_t got;
        if (count == 1) {
            got = recv(fd, parts->iov_base, parts->iov_len, MSG_DONTWAIT);
        } else {
            memset(&message, 0, sizeof message);
            message.msg_iov = parts;
            message.msg_iovlen = count;
            got = recvmsg(fd, &message, MSG_DONTWAIT);
        }
        if (got >= 0)
            return got;
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? -1 : -1 - errno;
    }
    #else
    #define AB_SOCKETS 0
    typedef struct { void *iov_base; size_t iov_len; } ab_part;

    static Py_ssize_t ab_send(int fd, ab_part *parts, int count, Py_ssize_t size, int is_last)
    {
        return 0;
    }

    static Py_ssize_t ab_receive(int fd, ab_part *parts, int count)
    {
        return -1;
    }
    #endif
    """
    bint AB_SOCKETS
    ctypedef struct ab_part:
        void *iov_base
        size_t iov_len

    # Both keep the interpreter's lock: neither waits, and taking it back could mean waiting for others.
    Py_ssize_t ab_send(int, ab_part *, int, Py_ssize_t, int) noexcept
    Py_ssize_t ab_receive(int, ab_part *, int) noexcept
