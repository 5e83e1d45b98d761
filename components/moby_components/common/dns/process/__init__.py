"""The resolver process. It runs without site packages and imports nothing of the daemon, not even
`typing`, and no asyncio: what it weighs, every platform carries for as long as it is up.

    main -> control  the daemon's orders ----> server  names, askers, doors
            loop     epoll                       |  door -> answer -> names, wire
            harden   what it gives up            |            +-----> forward -> upstream
                                                 +- spaces, natrule  what is done inside a sandbox
"""
