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
