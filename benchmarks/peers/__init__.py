"""Other packages under the conformance kit: `python -m benchmarks.peers` writes docs/peers.md.

Each adapter maps a case to the package's own call and raises NotImplementedError where the package has no such method
or space. Options that a package has are set as the case asks; a choice that it has no option for is answered as the
package answers it, which the kit then judges.
"""
