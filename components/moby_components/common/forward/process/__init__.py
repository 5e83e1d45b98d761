"""The forwarder's own process. It imports nothing of moby-py: it starts in a few milliseconds and lives
on when the daemon is killed.

    main thread      at home, in the namespace where it was started: binds published ports
    loop thread      in the world of the containers: everything else, one epoll

A thread of an ordinary user that has entered a namespace of his cannot go back to the host's: that is
why there are two.
"""
