// What the edges of the matrices cut off a tile.
//
// Needs: struct Job with row0, column0, rows, columns and end; fn left(i: u32, end: u32) -> u32; ROWS, COLUMNS and DEPTH.

// Whether no edge is in the tiles of a and b that begin at step k0.
fn whole_tiles(job: Job, k0: u32) -> bool {
    return job.row0 + ROWS <= job.rows && job.column0 + COLUMNS <= job.columns && k0 + DEPTH <= job.end;
}

// How many of four elements from i on are there: none where `ok` does not hold, all in a whole tile.
fn there(i: u32, end: u32, ok: bool, whole: bool) -> u32 {
    return select(select(0u, left(i, end), ok), 4u, whole);
}
