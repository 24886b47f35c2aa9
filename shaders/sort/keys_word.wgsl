// Keys of one word.
alias K = u32;

// The key after all.
fn last() -> K {
    return 0xffffffffu;
}

fn key_less(x: K, y: K) -> bool {
    return x < y;
}

fn key_same(x: K, y: K) -> bool {
    return x == y;
}

fn key_flip(x: K, word: u32) -> K {
    return x ^ word;
}
