(* The headline theorems, in MathComp's own words: matrices, sums, ranks.

   No definition of ours enters, so reading this file is reading what is
   proved; gate.py sees to that, and that Headlines.v proves each of them as
   it stands here.  Names inside a statement (let ... in) abbreviate.

   'M[F]_(m, n) are the matrices over F, M^T the transpose, 1%:M the identity,
   *: the product with a scalar, \mxrow_t B t the stack [B_1 ... B_T].
   T tasks are indexed by 'I_T, and task t has its own rank r t. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* The paper's Eq. 9: frames that hold the columns of each B_t and the rows of
   each A_t lose nothing.  U U^T U = U is true of orthonormal columns, some of
   them set to zero. *)
Definition lossless_projection : Prop :=
  forall (F : fieldType) (m n p q T : nat) (r : 'I_T -> nat)
         (B : forall t, 'M[F]_(m, r t)) (A : forall t, 'M[F]_(r t, n))
         (s : 'I_T -> F) (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
  U *m U^T *m U = U -> V *m V^T *m V = V ->
  (forall t, exists X, B t = U *m X) -> (forall t, exists Y, A t = Y *m V^T) ->
  forall t, U *m U^T *m (s t *: (B t *m A t)) *m (V *m V^T) =
            s t *: (B t *m A t).

(* Def. 2: the left singular vectors of [B_1 ... B_T] and the right ones of
   [A_1; ...; A_T] are such frames, null vectors among them or not. *)
Definition reference_bases_lossless : Prop :=
  forall (F : realFieldType) (m n p q T : nat) (r : 'I_T -> nat)
         (B : forall t, 'M[F]_(m, r t)) (A : forall t, 'M[F]_(r t, n))
         (U : 'M[F]_(m, p)) (s : 'rV[F]_p) (W : 'M[F]_(\sum_t r t, p))
         (Z : 'M[F]_(\sum_t r t, q)) (z : 'rV[F]_q) (V : 'M[F]_(n, q)),
  U^T *m U = 1%:M -> \mxrow_t B t = U *m diag_mx s *m W^T ->
  V^T *m V = 1%:M -> \mxcol_t A t = Z *m diag_mx z *m V^T ->
  forall t, U *m (U^T *m (B t *m A t) *m V) *m V^T = B t *m A t.

(* Lemma 1: |U U^T U_t - U_t|^2 = r - |U_t^T U|^2. *)
Definition alignment_error : Prop :=
  forall (F : fieldType) (m p r : nat) (U : 'M[F]_(m, p)) (Ut : 'M[F]_(m, r)),
  U^T *m U = 1%:M -> Ut^T *m Ut = 1%:M ->
  \sum_j \sum_i (U *m U^T *m Ut - Ut) i j ^+ 2 =
  r%:R - \sum_j \sum_i (Ut^T *m U) i j ^+ 2.

(* Lemma 2: the error is zero exactly when U holds the columns of U_t. *)
Definition alignment_zero_iff : Prop :=
  forall (F : realFieldType) (m p r : nat)
         (U : 'M[F]_(m, p)) (Ut : 'M[F]_(m, r)),
  U^T *m U = 1%:M ->
  \sum_j \sum_i (U *m U^T *m Ut - Ut) i j ^+ 2 = 0 <-> exists X, Ut = U *m X.

(* R_t = U^T U_t is the least-squares alignment, and the only one. *)
Definition least_squares_alignment : Prop :=
  forall (F : realFieldType) (m p r : nat) (U : 'M[F]_(m, p))
         (Ut : 'M[F]_(m, r)) (R : 'M[F]_(p, r)),
  U^T *m U = 1%:M ->
  let error S := \sum_j \sum_i (U *m S - Ut) i j ^+ 2 in
  error (U^T *m Ut) <= error R /\
  (error R <= error (U^T *m Ut) -> R = U^T *m Ut).

(* No fewer columns than rank [B_1 ... B_T] keep every B_t. *)
Definition minimal_frame : Prop :=
  forall (F : fieldType) (m p T : nat) (r : 'I_T -> nat)
         (B : forall t, 'M[F]_(m, r t)) (U : 'M[F]_(m, p)),
  (forall t, U *m U^T *m B t = B t) -> (\rank (\mxrow_t B t) <= p)%N.

(* Eq. 13: scalar-weighted sums agree in every space. *)
Definition weighted_sums_agree : Prop :=
  forall (F : fieldType) (m n p q T : nat) (D : 'I_T -> 'M[F]_(m, n))
         (w : 'I_T -> F) (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
  (forall t, U *m (U^T *m D t *m V) *m V^T = D t) ->
  U *m (\sum_t w t *: (U^T *m D t *m V)) *m V^T = \sum_t w t *: D t.

(* Decoding keeps inner products and ranks. *)
Definition decoding_is_an_isometry : Prop :=
  forall (F : fieldType) (m n p q : nat) (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
         (M N : 'M[F]_(p, q)),
  U^T *m U = 1%:M -> V^T *m V = 1%:M ->
  \sum_j \sum_i (U *m M *m V^T) i j * (U *m N *m V^T) i j =
  \sum_j \sum_i M i j * N i j /\ \rank (U *m M *m V^T) = \rank M.

(* A merge that commutes with the partial isometries that keep its stack gives
   one update in every lossless space. *)
Definition equivariant_merges_agree : Prop :=
  forall (F : fieldType) (I : finType)
         (merge : forall p q, {ffun I -> 'M[F]_(p, q)} -> 'M[F]_(p, q)),
  (forall p q p' q' (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q'))
          (M : {ffun I -> 'M[F]_(p, q)}),
     E *m E^T *m E = E -> G *m G^T *m G = G ->
     (forall i, E^T *m E *m M i = M i /\ M i *m (G *m G^T) = M i) ->
     merge p' q' [ffun i => E *m M i *m G] = E *m merge p q M *m G) ->
  forall m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
         (D : {ffun I -> 'M[F]_(m, n)}),
  U *m U^T *m U = U -> V *m V^T *m V = V ->
  (forall i, U *m (U^T *m D i *m V) *m V^T = D i) ->
  U *m merge p q [ffun i => U^T *m D i *m V] *m V^T = merge m n D.

(* A compact SVD, its values positive and in descending order, exists ... *)
Definition svd_exists : Prop :=
  forall (F : rcfType) (m n : nat) (X : 'M[F]_(m, n)),
  exists k (P : 'M[F]_(m, k)) (s : 'rV[F]_k) (Q : 'M[F]_(n, k)),
  [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, X = P *m diag_mx s *m Q^T,
      forall i, 0 < s 0 i & forall i j : 'I_k, (i <= j)%N -> s 0 j <= s 0 i].

(* ... and has one list of values. *)
Definition singular_values_unique : Prop :=
  forall (F : realFieldType) (m n : nat) (X : 'M[F]_(m, n)),
  let svd k (P : 'M[F]_(m, k)) (s : 'rV[F]_k) (Q : 'M[F]_(n, k)) :=
    [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, X = P *m diag_mx s *m Q^T,
        forall i, 0 < s 0 i & forall i j : 'I_k, (i <= j)%N -> s 0 j <= s 0 i] in
  forall k P s Q l P' s' Q', svd k P s Q -> svd l P' s' Q' ->
  k = l /\ [seq s 0 i | i <- enum 'I_k] = [seq s' 0 i | i <- enum 'I_l].

(* Eckart-Young: the k leading triplets are the best approximation of rank k. *)
Definition truncation_is_optimal : Prop :=
  forall (F : rcfType) (m n k l : nat) (X Z : 'M[F]_(m, n))
         (P : 'M[F]_(m, k)) (s : 'rV[F]_k) (Q : 'M[F]_(n, k))
         (P' : 'M[F]_(m, l)) (s' : 'rV[F]_l) (Q' : 'M[F]_(n, l)),
  (row_mx P P')^T *m row_mx P P' = 1%:M ->
  (row_mx Q Q')^T *m row_mx Q Q' = 1%:M ->
  (forall i, 0 < s 0 i) -> (forall j, 0 < s' 0 j) ->
  (forall i j, s' 0 j <= s 0 i) ->
  X = P *m diag_mx s *m Q^T + P' *m diag_mx s' *m Q'^T ->
  (\rank Z <= k)%N ->
  \sum_j \sum_i (X - P *m diag_mx s *m Q^T) i j ^+ 2 <=
  \sum_j \sum_i (X - Z) i j ^+ 2.

(* The polar factor over the support is a function. *)
Definition polar_is_a_function : Prop :=
  forall (F : rcfType) (m n : nat) (X : 'M[F]_(m, n)),
  exists! W, exists k (P : 'M[F]_(m, k)) (s : 'rV[F]_k) (Q : 'M[F]_(n, k)),
  [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, forall i, 0 < s 0 i,
      X = P *m diag_mx s *m Q^T & W = P *m Q^T].

(* TSV at an absolute rank k: where sigma_k > sigma_(k+1) for each task, there
   is one update, and each lossless space finds it and no other. *)
Definition tsv_gives_one_update : Prop :=
  forall (F : rcfType) (T k : nat),
  let svd m n r (X : 'M[F]_(m, n)) (P : 'M[F]_(m, r)) (s : 'rV[F]_r)
      (Q : 'M[F]_(n, r)) :=
    [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, forall i, 0 < s 0 i
      & X = P *m diag_mx s *m Q^T] in
  (* the first min (k, rank) triplets in P, s, Q, the others in P', s', Q' *)
  let cut m n a b (X : 'M[F]_(m, n)) P s Q P' s' Q' :=
    svd m n (a + b)%N X (row_mx P P') (row_mx s s') (row_mx Q Q') /\
    a = minn k (a + b) in
  let gap m n (X : 'M[F]_(m, n)) := exists a b P s Q P' s' Q',
    cut m n a b X P s Q P' s' Q' /\ forall i j, s' 0 j < s 0 i in
  let truncated m n (X Y : 'M[F]_(m, n)) := exists a b P s Q P' s' Q',
    [/\ cut m n a b X P s Q P' s' Q', forall i j, s' 0 j <= s 0 i
      & Y = P *m diag_mx s *m Q^T] in
  let polar m n (X W : 'M[F]_(m, n)) := exists r P s Q,
    svd m n r X P s Q /\ W = P *m Q^T in
  let tsv p q (M : 'I_T -> 'M[F]_(p, q)) (X : 'M[F]_(p, q)) :=
    exists (Y : 'I_T -> 'M[F]_(p, q)) (r : 'I_T -> nat)
      (P : forall t, 'M[F]_(p, r t)) (s : forall t, 'rV[F]_(r t))
      (Q : forall t, 'M[F]_(q, r t)) WU WV,
    (forall t, truncated p q (M t) (Y t)) /\
    [/\ forall t, svd p q (r t) (Y t) (P t) (s t) (Q t),
        polar p _ (\mxrow_t P t) WU, polar q _ (\mxrow_t Q t) WV
      & X = WU *m (\mxdiag_t diag_mx (s t)) *m WV^T] in
  forall m n (D : 'I_T -> 'M[F]_(m, n)), (forall t, gap m n (D t)) ->
  exists X, forall p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
    U *m U^T *m U = U -> V *m V^T *m V = V ->
    (forall t, U *m (U^T *m D t *m V) *m V^T = D t) ->
    exists2 Y, tsv p q (fun t => U^T *m D t *m V) Y &
      forall Z, tsv p q (fun t => U^T *m D t *m V) Z -> U *m Z *m V^T = X.

(* CART at an absolute rank k likewise; w holds the weights of the mean. *)
Definition cart_gives_one_update : Prop :=
  forall (F : rcfType) (T k : nat) (w : 'I_T -> F) (lambda : F),
  let cut m n a b (X : 'M[F]_(m, n)) (P : 'M[F]_(m, a)) s (Q : 'M[F]_(n, a))
      (P' : 'M[F]_(m, b)) s' (Q' : 'M[F]_(n, b)) :=
    [/\ (row_mx P P')^T *m row_mx P P' = 1%:M,
        (row_mx Q Q')^T *m row_mx Q Q' = 1%:M,
        forall i, 0 < row_mx s s' 0 i,
        X = row_mx P P' *m diag_mx (row_mx s s') *m (row_mx Q Q')^T
      & a = minn k (a + b)] in
  let cart p q (M : 'I_T -> 'M[F]_(p, q)) (X : 'M[F]_(p, q)) :=
    exists Y : 'I_T -> 'M[F]_(p, q),
    (forall t, exists a b P s Q P' s' Q',
      [/\ cut p q a b (M t - \sum_i w i *: M i) P s Q P' s' Q',
          forall i j, s' 0 j <= s 0 i & Y t = P *m diag_mx s *m Q^T]) /\
    X = \sum_i w i *: M i + lambda *: \sum_t Y t in
  forall m n (D : 'I_T -> 'M[F]_(m, n)),
  (forall t, exists a b P s Q P' s' Q',
     cut m n a b (D t - \sum_i w i *: D i) P s Q P' s' Q' /\
     forall i j, s' 0 j < s 0 i) ->
  exists X, forall p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
    U *m U^T *m U = U -> V *m V^T *m V = V ->
    (forall t, U *m (U^T *m D t *m V) *m V^T = D t) ->
    exists2 Y, cart p q (fun t => U^T *m D t *m V) Y &
      forall Z, cart p q (fun t => U^T *m D t *m V) Z -> U *m Z *m V^T = X.

(* CART of two tasks is their mean, whatever the rank and the coefficient. *)
Definition cart_of_two_is_the_mean : Prop :=
  forall (F : rcfType) (k : nat) (lambda : F),
  let cut m n a b (X : 'M[F]_(m, n)) (P : 'M[F]_(m, a)) s (Q : 'M[F]_(n, a))
      (P' : 'M[F]_(m, b)) s' (Q' : 'M[F]_(n, b)) :=
    [/\ (row_mx P P')^T *m row_mx P P' = 1%:M,
        (row_mx Q Q')^T *m row_mx Q Q' = 1%:M,
        forall i, 0 < row_mx s s' 0 i,
        X = row_mx P P' *m diag_mx (row_mx s s') *m (row_mx Q Q')^T
      & a = minn k (a + b)] in
  let truncated m n (X Y : 'M[F]_(m, n)) := exists a b P s Q P' s' Q',
    [/\ cut m n a b X P s Q P' s' Q', forall i j, s' 0 j <= s 0 i
      & Y = P *m diag_mx s *m Q^T] in
  forall m n (A B Y Z : 'M[F]_(m, n)), let mean := 2^-1 *: (A + B) in
  (exists a b P s Q P' s' Q', cut m n a b (A - mean) P s Q P' s' Q' /\
     forall i j, s' 0 j < s 0 i) ->
  truncated m n (A - mean) Y -> truncated m n (B - mean) Z ->
  mean + lambda *: (Y + Z) = mean.

(* Iso-C over the support likewise, and without any gap. *)
Definition iso_c_gives_one_update : Prop :=
  forall (F : rcfType) (T : nat) (w : 'I_T -> F),
  let iso_c p q (M : 'I_T -> 'M[F]_(p, q)) (X : 'M[F]_(p, q)) :=
    exists k (P : 'M[F]_(p, k)) (s : 'rV[F]_k) (Q : 'M[F]_(q, k)),
    [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, forall i, 0 < s 0 i,
        \sum_t w t *: M t = P *m diag_mx s *m Q^T
      & X = (\sum_i s 0 i) / k%:R *: (P *m Q^T)] in
  forall m n (D : 'I_T -> 'M[F]_(m, n)),
  exists X, forall p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
    U *m U^T *m U = U -> V *m V^T *m V = V ->
    (forall t, U *m (U^T *m D t *m V) *m V^T = D t) ->
    exists2 Y, iso_c p q (fun t => U^T *m D t *m V) Y &
      forall Z, iso_c p q (fun t => U^T *m D t *m V) Z -> U *m Z *m V^T = X.

(* Iso-CTS with absolute counts likewise: C is the sum's c leading triplets,
   Y_t the k leading ones of what task t has off the left directions of C; the
   polar factors of all left and all right vectors, times one value, the mean
   of all that was kept.  Gaps are asked for at c in the sum and at k in each
   residual. *)
Definition iso_cts_gives_one_update : Prop :=
  forall (F : rcfType) (T c k : nat),
  let svd m n r (X : 'M[F]_(m, n)) (P : 'M[F]_(m, r)) (s : 'rV[F]_r)
      (Q : 'M[F]_(n, r)) :=
    [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, forall i, 0 < s 0 i
      & X = P *m diag_mx s *m Q^T] in
  let cut h m n a b (X : 'M[F]_(m, n)) P s Q P' s' Q' :=
    svd m n (a + b)%N X (row_mx P P') (row_mx s s') (row_mx Q Q') /\
    a = minn h (a + b) in
  let gap h m n (X : 'M[F]_(m, n)) := exists a b P s Q P' s' Q',
    cut h m n a b X P s Q P' s' Q' /\ forall i j, s' 0 j < s 0 i in
  let truncated h m n (X Y : 'M[F]_(m, n)) := exists a b P s Q P' s' Q',
    [/\ cut h m n a b X P s Q P' s' Q', forall i j, s' 0 j <= s 0 i
      & Y = P *m diag_mx s *m Q^T] in
  let polar m n (X W : 'M[F]_(m, n)) := exists r P s Q,
    svd m n r X P s Q /\ W = P *m Q^T in
  let iso_cts p q (M : 'I_T -> 'M[F]_(p, q)) (X : 'M[F]_(p, q)) :=
    exists (C : 'M[F]_(p, q)) (Y : 'I_T -> 'M[F]_(p, q)),
    [/\ truncated c p q (\sum_t M t) C,
        exists h P s Q, svd p q h C P s Q /\
          forall t, truncated k p q (M t - P *m P^T *m M t) (Y t)
      & exists (r : 'I_T.+1 -> nat) (P : forall t, 'M[F]_(p, r t))
          (s : forall t, 'rV[F]_(r t)) (Q : forall t, 'M[F]_(q, r t)) WU WV,
        (forall t, svd p q (r t) (if unlift ord0 t is Some i then Y i else C)
                     (P t) (s t) (Q t)) /\
        [/\ polar p _ (\mxrow_t P t) WU, polar q _ (\mxrow_t Q t) WV
          & X = (\sum_t \sum_i s t 0 i) / (\sum_t r t)%:R *: (WU *m WV^T)]] in
  forall m n (D : 'I_T -> 'M[F]_(m, n)),
  gap c m n (\sum_t D t) ->
  (forall C h P s Q t, truncated c m n (\sum_t D t) C -> svd m n h C P s Q ->
     gap k m n (D t - P *m P^T *m D t)) ->
  exists X, forall p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
    U *m U^T *m U = U -> V *m V^T *m V = V ->
    (forall t, U *m (U^T *m D t *m V) *m V^T = D t) ->
    exists2 Y, iso_cts p q (fun t => U^T *m D t *m V) Y &
      forall Z, iso_cts p q (fun t => U^T *m D t *m V) Z -> U *m Z *m V^T = X.

(* With null vectors, all min (m, n) values at their mean, Iso-C is not
   determined: where X is not 0 and has less than full rank, two SVDs give two
   answers. *)
Definition null_vectors_decide_iso_c : Prop :=
  forall (F : rcfType) (m n : nat) (X : 'M[F]_(m, n)),
  let iso_c (Y : 'M[F]_(m, n)) :=
    exists (P : 'M[F]_(m, minn m n)) (s : 'rV[F]_(minn m n))
           (Q : 'M[F]_(n, minn m n)),
    [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, forall i, 0 <= s 0 i,
        X = P *m diag_mx s *m Q^T
      & Y = (\sum_i s 0 i) / (minn m n)%:R *: (P *m Q^T)] in
  X != 0 -> (\rank X < minn m n)%N ->
  exists Y Y', [/\ iso_c Y, iso_c Y' & Y <> Y'].

(* Nor is TSV with floor (m / T) triplets a task, null vectors among them: for
   two tasks of any rank r > 0 in 4r x 4r matrices. *)
Definition null_vectors_decide_tsv : Prop :=
  forall (F : rcfType) (r : nat), (0 < r)%N ->
  let m := (r + r + (r + r))%N in let k := (m %/ 2)%N in
  let polar a b (X W : 'M[F]_(a, b)) :=
    exists h (P : 'M[F]_(a, h)) (s : 'rV[F]_h) (Q : 'M[F]_(b, h)),
    [/\ P^T *m P = 1%:M, Q^T *m Q = 1%:M, forall i, 0 < s 0 i,
        X = P *m diag_mx s *m Q^T & W = P *m Q^T] in
  let tsv (M : 'I_2 -> 'M[F]_m) (X : 'M[F]_m) :=
    exists (P : 'I_2 -> 'M[F]_(m, k)) (s : 'I_2 -> 'rV[F]_k)
           (Q : 'I_2 -> 'M[F]_(m, k)) WU WV,
    (forall t, [/\ (P t)^T *m P t = 1%:M, (Q t)^T *m Q t = 1%:M,
                   forall i, 0 <= s t 0 i
                 & M t = P t *m diag_mx (s t) *m (Q t)^T]) /\
    [/\ polar m _ (\mxrow_t P t) WU, polar m _ (\mxrow_t Q t) WV
      & X = WU *m (\mxdiag_t diag_mx (s t)) *m WV^T] in
  exists (M : 'I_2 -> 'M[F]_m) X X', [/\ tsv M X, tsv M X' & X <> X'].

(* TIES depends on the basis: two updates of rank 1 and a rotation, with no
   undecided entry in either basis.  [merge] is the mean of what agrees with
   the sign of the sum. *)
Definition ties_depends_on_the_basis : Prop :=
  let merge (x y : rat) :=
    if Num.sg x == Num.sg y then (x + y) / 2%:R
    else if Num.sg x == Num.sg (x + y) then x else y in
  let ties (D D' : 'M[rat]_2) := \matrix_(i, j) merge (D i j) (D' i j) in
  let decided (D D' : 'M[rat]_2) :=
    forall i j, D i j + D' i j = 0 -> D i j = 0 /\ D' i j = 0 in
  exists (D D' U : 'M[rat]_2),
  [/\ \rank D = 1%N /\ \rank D' = 1%N, U^T *m U = 1%:M, decided D D',
      decided (U^T *m D) (U^T *m D')
    & U *m ties (U^T *m D) (U^T *m D') <> ties D D'].
