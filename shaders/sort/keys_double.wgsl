// Keys of two words, the low one first.
alias K = vec2<u32>;

// The key after all.
fn last() -> K {
    return vec2<u32>(0xffffffffu);
}

fn key_less(x: K, y: K) -> bool {
    return u64_lt(x, y);
}

fn key_same(x: K, y: K) -> bool {
    return all(x == y);
}

fn key_flip(x: K, word: u32) -> K {
    return x ^ vec2<u32>(word);
}
