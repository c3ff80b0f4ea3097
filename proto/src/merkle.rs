//! RFC 6962 Merkle trees: roots, inclusion paths, consistency proofs.
//!
//! A complete subtree is named by its level and its index at that level: `(0, i)` is leaf `i`, `(k, i)` covers the
//! leaves `i·2^k .. (i+1)·2^k`. A stored tree keeps the hash of every complete subtree once; everything else is
//! computed from those.

use crate::digest::{Digest, sha256};

/// Hash of a leaf's contents.
pub fn leaf_hash(contents: &[u8]) -> Digest {
    sha256(&[&[0], contents])
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[1], &left.0, &right.0])
}

/// Root of a tree over leaf hashes; SHA-256 of nothing for the empty tree.
pub fn root(leaves: &[Digest]) -> Digest {
    let mut tree = Frontier::default();
    for leaf in leaves {
        tree.append(*leaf, |_, _, _| ());
    }
    tree.root()
}

/// The right edge of a growing tree: all that is needed to append and to tell the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that make up the tree, largest first.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Rebuilds the frontier of a stored tree; `node` gives the hash of a complete subtree by level and index.
    pub fn load<E>(size: u64, mut node: impl FnMut(u32, u64) -> Result<Digest, E>) -> Result<Self, E> {
        let peaks = subtrees(0, size).into_iter().map(|(level, index)| node(level, index)).collect::<Result<_, E>>()?;
        Ok(Self { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and hands every subtree that it completes to `store`, the leaf itself first.
    pub fn append(&mut self, leaf: Digest, mut store: impl FnMut(u32, u64, Digest)) {
        let mut hash = leaf;
        let (mut level, mut index) = (0, self.size);
        store(level, index, hash);
        while index & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            hash = node_hash(&left, &hash);
            level += 1;
            index >>= 1;
            store(level, index, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Digest {
        fold_right(&self.peaks).unwrap_or_else(|| sha256(&[]))
    }
}

/// Path that proves leaf `index` in the tree of the first `size` leaves; `None` if there is no such leaf.
pub fn inclusion_path<E>(
    index: u64,
    size: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Option<Vec<Digest>>, E> {
    if index >= size {
        return Ok(None);
    }
    let mut path = Vec::new();
    walk_to_leaf(index, 0, size, node, &mut path)?;
    Ok(Some(path))
}

/// Checks that `leaf` is at `index` in the tree with this size and root.
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, path: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Proof that the tree of `new` leaves begins with the tree of `old` leaves; `None` if `old` is larger. Empty for
/// `old` 0 and for equal sizes.
pub fn consistency_proof<E>(
    old: u64,
    new: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Option<Vec<Digest>>, E> {
    if old > new {
        return Ok(None);
    }
    let mut proof = Vec::new();
    if old > 0 && old < new {
        walk_consistency(old, 0, new, true, node, &mut proof)?;
    }
    Ok(Some(proof))
}

/// Checks a consistency proof between two heads.
pub fn verify_consistency(old: u64, old_root: &Digest, new: u64, new_root: &Digest, proof: &[Digest]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old > new {
        return false;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == sha256(&[]);
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    // Where the old tree is one complete subtree, its root is not repeated in the proof.
    let mut rest = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// Complete subtrees that cover the leaves `start .. end`, left to right. `start` must be a multiple of the largest
/// power of two that fits, which holds for every range this module asks for.
fn subtrees(start: u64, end: u64) -> Vec<(u32, u64)> {
    let mut parts = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2();
        parts.push((level, at >> level));
        at += 1 << level;
    }
    parts
}

fn fold_right(peaks: &[Digest]) -> Option<Digest> {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

fn range_hash<E>(start: u64, end: u64, node: &mut impl FnMut(u32, u64) -> Result<Digest, E>) -> Result<Digest, E> {
    let peaks =
        subtrees(start, end).into_iter().map(|(level, index)| node(level, index)).collect::<Result<Vec<_>, E>>()?;
    Ok(fold_right(&peaks).unwrap_or_else(|| sha256(&[])))
}

/// Largest power of two smaller than `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

fn walk_to_leaf<E>(
    index: u64,
    start: u64,
    end: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
    path: &mut Vec<Digest>,
) -> Result<(), E> {
    if end - start <= 1 {
        return Ok(());
    }
    let middle = start + split(end - start);
    if index < middle {
        walk_to_leaf(index, start, middle, node, path)?;
        path.push(range_hash(middle, end, node)?);
    } else {
        walk_to_leaf(index, middle, end, node, path)?;
        path.push(range_hash(start, middle, node)?);
    }
    Ok(())
}

fn walk_consistency<E>(
    old: u64,
    start: u64,
    end: u64,
    whole: bool,
    node: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
    proof: &mut Vec<Digest>,
) -> Result<(), E> {
    if old == end {
        if !whole {
            proof.push(range_hash(start, end, node)?);
        }
        return Ok(());
    }
    let middle = start + split(end - start);
    if old <= middle {
        walk_consistency(old, start, middle, whole, node, proof)?;
        proof.push(range_hash(middle, end, node)?);
    } else {
        walk_consistency(old, middle, end, false, node, proof)?;
        proof.push(range_hash(start, middle, node)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use sha2::Sha256;

    use super::*;

    struct Stored {
        nodes: HashMap<(u32, u64), Digest>,
        roots: Vec<Digest>,
    }

    fn stored(size: u64) -> Stored {
        let mut tree = Frontier::default();
        let mut nodes = HashMap::new();
        let mut roots = vec![tree.root()];
        for leaf in 0..size {
            tree.append(leaf_hash(&leaf.to_be_bytes()), |level, index, hash| {
                nodes.insert((level, index), hash);
            });
            roots.push(tree.root());
        }
        Stored { nodes, roots }
    }

    impl Stored {
        fn node(&self) -> impl FnMut(u32, u64) -> Result<Digest, Infallible> + '_ {
            |level, index| Ok(self.nodes[&(level, index)])
        }
    }

    #[test]
    fn roots_equal_those_of_an_independent_implementation() {
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let ours = stored(200);
        for leaf in 0..200u64 {
            oracle.push(leaf.to_be_bytes().to_vec());
            assert_eq!(ours.roots[leaf as usize + 1].0[..], oracle.root().as_bytes()[..], "size {}", leaf + 1);
        }
    }

    #[test]
    fn the_empty_tree_has_the_root_of_the_standard() {
        assert_eq!(root(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn every_inclusion_path_verifies_at_its_place_and_nowhere_else() {
        let tree = stored(40);
        for size in 1..=40 {
            for index in 0..size {
                let path = inclusion_path(index, size, &mut tree.node()).unwrap().unwrap();
                let leaf = leaf_hash(&index.to_be_bytes());
                let root = &tree.roots[size as usize];
                assert!(verify_inclusion(leaf, index, size, &path, root), "{index} of {size}");
                for other in (0..size).filter(|other| *other != index) {
                    assert!(!verify_inclusion(leaf, other, size, &path, root), "{index} as {other} of {size}");
                }
                let mut longer = path.clone();
                longer.push(leaf);
                assert!(!verify_inclusion(leaf, index, size, &longer, root));
            }
        }
        assert_eq!(inclusion_path(5, 5, &mut tree.node()).unwrap(), None);
    }

    #[test]
    fn every_consistency_proof_verifies_and_no_other_root_does() {
        let tree = stored(40);
        for new in 0..=40 {
            for old in 0..=new {
                let proof = consistency_proof(old, new, &mut tree.node()).unwrap().unwrap();
                let roots = (&tree.roots[old as usize], &tree.roots[new as usize]);
                assert!(verify_consistency(old, roots.0, new, roots.1, &proof), "{old} to {new}");
                let wrong = leaf_hash(b"wrong");
                assert!(!verify_consistency(old, &wrong, new, roots.1, &proof), "{old} to {new}");
                if old > 0 {
                    assert!(!verify_consistency(old, roots.0, new, &wrong, &proof), "{old} to {new}");
                }
            }
        }
        assert_eq!(consistency_proof(3, 2, &mut tree.node()).unwrap(), None);
    }

    #[test]
    fn a_loaded_frontier_goes_on_as_the_grown_one() {
        let tree = stored(37);
        let mut loaded = Frontier::load(21, tree.node()).unwrap();
        for leaf in 21..37u64 {
            loaded.append(leaf_hash(&leaf.to_be_bytes()), |_, _, _| ());
        }
        assert_eq!(loaded.root(), tree.roots[37]);
        assert_eq!(loaded.size(), 37);
    }
}
