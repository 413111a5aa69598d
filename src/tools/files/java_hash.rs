//! In which order Java's hash tables show what they hold: its formatters print in that order.
//!
//! The order follows from the hashes, the size of the table and the order of insertion. Chains of nine and
//! more in a large table, which become trees in Java and are then ordered otherwise, are not looked after:
//! they take names that were made to collide.

/// `String.hashCode`.
pub fn of_text(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// `Long.hashCode`.
pub fn of_number(number: i64) -> i32 {
    // Java cuts the upper half off as well.
    (number ^ (number.cast_unsigned() >> 32).cast_signed()) as i32
}

/// The items, given in the order in which they were put into a table that began with `capacity` places.
pub fn in_order<T>(items: Vec<T>, capacity: usize, hash: impl Fn(&T) -> i32) -> Vec<T> {
    let hashes: Vec<usize> = items.iter().map(|item| spread(hash(item))).collect();
    let size = table_size(&hashes, capacity);
    let mut order: Vec<(usize, T)> = hashes
        .into_iter()
        .map(|hash| hash & (size - 1))
        .zip(items)
        .collect();
    // Stable: within a chain the older comes first, and a table that grows keeps that order.
    order.sort_by_key(|(place, _)| *place);
    order.into_iter().map(|(_, item)| item).collect()
}

/// How large the table has grown. (HashMap.putVal, treeifyBin)
fn table_size(hashes: &[usize], capacity: usize) -> usize {
    let mut size = capacity;
    for (count, hash) in hashes.iter().enumerate() {
        if size < SMALLEST_WITH_TREES {
            let place = hash & (size - 1);
            let chain = hashes[..count]
                .iter()
                .filter(|other| *other & (size - 1) == place)
                .count();
            if chain >= LONGEST_CHAIN {
                size *= 2;
            }
        }
        if count + 1 > size / 4 * 3 {
            size *= 2;
        }
    }
    size
}

/// `HashMap.hash`
fn spread(hash: i32) -> usize {
    let hash = hash.cast_unsigned();
    (hash ^ (hash >> 16)) as usize
}

const SMALLEST_WITH_TREES: usize = 64;
const LONGEST_CHAIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        assert_eq!(of_text(""), 0);
        assert_eq!(of_text("hello"), 99_162_322);
        assert_eq!((of_text("Aa"), of_text("BB")), (2112, 2112));
        assert_eq!(of_text("polygenelubricants"), i32::MIN);
        assert_eq!((of_number(1), of_number(-1), of_number(1 << 32)), (1, 0, 1));
    }

    /// As `new HashSet<String>(8)` of OpenJDK 17 shows them.
    #[test]
    fn the_order_is_that_of_the_table() {
        let set = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            in_order(names, 8, |name: &String| of_text(name)).join(" ")
        };
        assert_eq!(set(&["c", "b", "a"]), "a b c");
        assert_eq!(
            set(&["i", "a"]),
            "i a",
            "they share a place of eight: the older comes first"
        );
        assert_eq!(set(&["a", "i"]), "a i");
        assert_eq!(
            set(&["h", "a", "b", "c", "d", "e", "f"]),
            "a b c d e f h",
            "the seventh makes it sixteen"
        );
    }
}
