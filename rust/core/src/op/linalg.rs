//! The payload of decompositions and of the systems they solve.

/// Operators on the matrices in the last two dims: float32 or float64, and on the CPU complex numbers of such parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Linalg {
    /// R, or Q and R; their sizes say how much of Q is wanted.
    Qr,
    /// R with the vectors of the reflections below its diagonal, and their factors.
    Geqrf,
    /// S, or U, S and Vᴴ; the sizes of U and Vᴴ say how much of them is wanted.
    Svd,
    /// `[A, B]` of the same batch: X in A·X = B, or in X·A = B unless `left`, reading A's triangle only.
    SolveTriangular { upper: bool, left: bool, unit: bool },
    /// The triangular factor of one triangle of A, and infos, int32.
    Cholesky { upper: bool },
    /// L and U in one matrix, pivots and infos, both int32.
    LuFactor,
    /// int32 pivots of [`Linalg::LuFactor`]: the order of rows that they stand for, int32.
    Permutation,
    /// Eigenvalues of A's lower triangle, vectors if wanted, and infos, int32.
    Eigh,
    /// Complex eigenvalues of A, vectors if wanted, and infos, int32.
    Eig,
    /// L and D of the lower triangle of A in one matrix, pivots and infos, both int32.
    Ldl { hermitian: bool },
    /// `[LD, pivots, B]` of the same batch: X in L·D·Lᵀ·X = B, or in L·D·Lᴴ·X = B.
    LdlSolve { hermitian: bool },
}

impl Linalg {
    pub const fn name(self) -> &'static str {
        match self {
            Linalg::Qr => "linalg_qr",
            Linalg::Geqrf => "geqrf",
            Linalg::Svd => "linalg_svd",
            Linalg::SolveTriangular { .. } => "linalg_solve_triangular",
            Linalg::Cholesky { .. } => "linalg_cholesky",
            Linalg::LuFactor | Linalg::Permutation => "linalg_lu_factor",
            Linalg::Eigh => "linalg_eigh",
            Linalg::Eig => "linalg_eig",
            Linalg::Ldl { .. } => "linalg_ldl_factor",
            Linalg::LdlSolve { .. } => "linalg_ldl_solve",
        }
    }
}
