"""nftables: whole scripts, each one transaction, by libnftables in this process.

    with Nft() as nft:
        nft.run('add table inet mine')

0.2 ms a script where starting `nft` takes 5 to 20 ms. The scripts are nft's own language, the one that
`nft list ruleset` prints. Where the library is missing the `nft` program takes the scripts.
"""

from moby_components.common.nft.library import Nft, NftError, available

__all__ = ["Nft", "NftError", "available"]
