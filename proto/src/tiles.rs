//! The tree of a log as static files: names and contents of C2SP tlog-tiles.
//!
//! A tile holds up to 256 consecutive hashes of every eighth level of the tree, an entry bundle the entries below a
//! tile of level 0. A file whose tile is full never changes; narrower ones have their width in their name.

use crate::digest::Digest;

/// Hashes in a full tile.
pub const WIDTH: u64 = 256;
/// Levels of the tree between two levels of tiles.
const HEIGHT: u32 = 8;
/// Levels of tiles a tree of 2^64 leaves has.
const LEVELS: u32 = 64 / HEIGHT;
/// Longest name that is read; a real one has at most 40 characters.
const PATH_BYTES_MAX: usize = 64;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// Hashes of this level of tiles; level 0 holds the leaves.
    Hashes(u32),
    /// The entries themselves.
    Entries,
}

impl Content {
    /// The level of the tree whose nodes stand in it.
    pub fn tree_level(self) -> u32 {
        match self {
            Self::Hashes(level) => level * HEIGHT,
            Self::Entries => 0,
        }
    }
}

/// One file of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// What it holds.
    pub content: Content,
    /// Its place in its level.
    pub index: u64,
    /// How many hashes or entries it holds: 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The first node or entry in it.
    pub fn first(&self) -> u64 {
        self.index.saturating_mul(WIDTH)
    }

    /// Whether nothing can be added to it.
    pub fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// Whether a tree of this size has everything that stands in it.
    pub fn is_within(&self, size: u64) -> bool {
        let nodes = size.checked_shr(self.content.tree_level()).unwrap_or(0);
        self.first().checked_add(self.width).is_some_and(|end| end <= nodes)
    }

    /// Its name below the log's prefix.
    pub fn path(&self) -> String {
        let full = self.full_path();
        if self.is_full() { full } else { format!("{full}.p/{}", self.width) }
    }

    /// The name it has or will have when it is full.
    pub fn full_path(&self) -> String {
        let level = match self.content {
            Content::Hashes(level) => level.to_string(),
            Content::Entries => "entries".into(),
        };
        let mut index = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            index = format!("x{:03}/{index}", rest % 1000);
            rest /= 1000;
        }
        format!("tile/{level}/{index}")
    }

    /// Reads a name; `None` for any that [`Self::path`] does not give.
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > PATH_BYTES_MAX {
            return None;
        }
        let (full, width) = match path.split_once(".p/") {
            Some((full, width)) => (full, width.parse().ok().filter(|width| (1..WIDTH).contains(width))?),
            None => (path, WIDTH),
        };
        let (level, index) = full.strip_prefix("tile/")?.split_once('/')?;
        let content = match level {
            "entries" => Content::Entries,
            level => Content::Hashes(level.parse().ok().filter(|level| *level < LEVELS)?),
        };
        let index = index.split('/').try_fold(0_u64, |index, part| {
            let digits: u64 = part.strip_prefix('x').unwrap_or(part).parse().ok()?;
            index.checked_mul(1000)?.checked_add(digits)
        })?;
        // One name for each tile: what reads like it but is written otherwise is another file.
        Some(Self { content, index, width }).filter(|tile| tile.path() == path)
    }
}

/// Every file that a tree of `new` leaves has and one of `old` leaves has not, contents before the levels above them.
pub fn grown(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let levels = std::iter::once(Content::Entries).chain((0..LEVELS).map(Content::Hashes));
    levels.flat_map(move |content| {
        let nodes = |size: u64| size >> content.tree_level();
        let (before, after) = (nodes(old), nodes(new));
        let tiles = if before == after { 0..0 } else { before / WIDTH..after.div_ceil(WIDTH) };
        tiles.map(move |index| Tile { content, index, width: WIDTH.min(after - index * WIDTH) })
    })
}

/// Appends an entry to a bundle: its length in two bytes, then the 32 bytes whose leaf hash stands in the tree.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &Digest) {
    bundle.extend_from_slice(&(entry.0.len() as u16).to_be_bytes());
    bundle.extend_from_slice(&entry.0);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn paths(old: u64, new: u64) -> Vec<String> {
        grown(old, new).map(|tile| tile.path()).collect()
    }

    #[test]
    fn a_tree_has_the_tiles_the_specification_names() {
        assert_eq!(paths(0, 0), [""; 0]);
        assert_eq!(paths(0, 1), ["tile/entries/000.p/1", "tile/0/000.p/1"]);
        assert_eq!(paths(0, 256), ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
        // The example of the specification: 273 full tiles and one of 112, one full and one of 17, one of 1.
        let tiles: Vec<Tile> = grown(0, 70_000).filter(|tile| tile.content != Content::Entries).collect();
        let of = |level| tiles.iter().filter(move |tile| tile.content == Content::Hashes(level));
        assert_eq!((of(0).filter(|tile| tile.is_full()).count(), of(0).next_back().unwrap().width), (273, 112));
        assert_eq!(of(1).map(|tile| tile.width).collect::<Vec<_>>(), [256, 17]);
        assert_eq!(of(2).map(|tile| tile.width).collect::<Vec<_>>(), [1]);
        let far = Tile { content: Content::Hashes(0), index: 1_234_067, width: 256 };
        assert_eq!(far.path(), "tile/0/x001/x234/067");
    }

    #[test]
    fn what_is_no_name_of_a_tile_is_not_read_as_one() {
        for name in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/8/000",
            "tile/00/000",
            "tile/-1/000",
            "tile/0/0",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/",
            "tile/0/../000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/entries/x1/000",
            "/tile/0/000",
        ] {
            assert_eq!(Tile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn an_entry_stands_in_its_bundle_with_its_length() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, &Digest([7; 32]));
        assert_eq!((bundle.len(), &bundle[..3]), (34, &[0, 32, 7][..]));
    }

    proptest! {
        #[test]
        fn a_name_reads_back_and_any_text_is_read_without_panic(
            level in 0_u32..9, index in any::<u64>(), width in 1_u64..=256, text in "tile/[0-9a-z]{1,8}/[x0-9./p]{0,20}",
        ) {
            let content = if level == 8 { Content::Entries } else { Content::Hashes(level) };
            let tile = Tile { content, index, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
            if let Some(tile) = Tile::parse(&text) {
                prop_assert_eq!(tile.path(), text);
            }
        }

        /// However a tree has grown, the files written on the way are those of the whole, and none is missing.
        #[test]
        fn growing_by_steps_gives_what_growing_at_once_gives(steps in proptest::collection::vec(0_u64..90_000, 1..6)) {
            let (mut size, mut stepwise) = (0, HashSet::new());
            for step in steps {
                for tile in grown(size, size + step) {
                    prop_assert!(tile.is_within(size + step) && !tile.is_within(size));
                    stepwise.insert(tile);
                }
                size += step;
            }
            for tile in grown(0, size) {
                prop_assert!(stepwise.contains(&tile), "{} of {size}", tile.path());
            }
        }
    }
}
