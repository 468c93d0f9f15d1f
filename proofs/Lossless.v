(* Lossless projection (the paper's Eq. 9 and Appendix A.4).

   Task t has its own rank r t: nothing is asked of R = sum_t r t, of m and n,
   or of the ranks of B_t and A_t, and the field is arbitrary. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Lossless.
Variables (F : fieldType) (m n p q T : nat) (r : 'I_T -> nat).
Variables (B : forall t, 'M[F]_(m, r t)) (A : forall t, 'M[F]_(r t, n)).
Variable s : 'I_T -> F.
Implicit Types (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)).

Local Notation DW t := (s t *: (B t *m A t)).

(* Partial isometries are enough, so masked frames are covered too. *)
Theorem lossless_pisom U V :
  pisom U -> pisom V ->
  (forall t, cols_in (B t) U) -> (forall t, (A t <= V^T)%MS) ->
  forall t, U *m U^T *m DW t *m (V *m V^T) = DW t.
Proof.
move=> UU VV BU AV t.
have /(cols_in_proj _ UU) EB := BU t.
have /(cols_in_proj _ VV) EA : cols_in (A t)^T V by rewrite /cols_in trmxK.
rewrite -scalemxAr -scalemxAl (mulmxA (U *m U^T)) EB -mulmxA.
congr (_ *: (_ *m _)).
by apply: trmx_inj; rewrite !trmx_mul !trmxK.
Qed.

Theorem lossless_projection U V :
  U^T *m U = 1%:M -> V^T *m V = 1%:M ->
  (forall t, ((B t)^T <= U^T)%MS) -> (forall t, (A t <= V^T)%MS) ->
  forall t, U *m U^T *m DW t *m (V *m V^T) = DW t.
Proof.
by move=> UU VV; apply: lossless_pisom; exact: orthonormal_pisom.
Qed.

(* The hypothesis as the software checks it: on the stacks [B_1 ... B_T] and
   [A_1; ...; A_T]. *)
Theorem lossless_stack U V :
  pisom U -> pisom V ->
  cols_in (\mxrow_t B t) U -> cols_in (\mxcol_t A t)^T V ->
  forall t, lossless U V (DW t).
Proof.
move=> UU VV BU AV t.
rewrite /lossless /decode /encode !mulmxA -(mulmxA _ V V^T).
apply: lossless_pisom => //; first exact/cols_in_stack.
move: AV; rewrite tr_mxcol => /cols_in_stack AV t'.
by have := AV t'; rewrite /cols_in trmxK.
Qed.

(* Encode, then decode, in a masked frame (dead columns are zero). *)
Theorem lossless_masked d e U V :
  masked d U -> masked e V ->
  (forall t, cols_in (B t) U) -> (forall t, (A t <= V^T)%MS) ->
  forall t, decode U V (encode U V (DW t)) = DW t.
Proof.
move=> /masked_pisom UU /masked_pisom VV BU AV t.
by rewrite /decode /encode !mulmxA -(mulmxA _ V V^T); apply: lossless_pisom.
Qed.

(* Masking loses nothing when the masked coordinates of the stack are zero:
   this is what dropping the directions of zero singular value does. *)
Theorem mask_covers (d : 'rV[F]_p) U :
  orthonormal U -> cols_in (\mxrow_t B t) U ->
  diag_mx d *m (U^T *m \mxrow_t B t) = U^T *m \mxrow_t B t ->
  cols_in (\mxrow_t B t) (U *m diag_mx d).
Proof.
move=> /orthonormal_pisom UU /(cols_in_proj _ UU) E dE.
by apply/cols_inP; exists (U^T *m \mxrow_t B t); rewrite -mulmxA dE mulmxA.
Qed.

(* The encoded matrices of a masked frame have zero rows and columns at the
   dead directions. *)
Theorem masked_encode d e U V (D : 'M[F]_(m, n)) :
  masked d U -> masked e V ->
  diag_mx d *m encode U V D *m diag_mx e = encode U V D.
Proof.
move=> [_ _ Ud] [_ _ Ve]; rewrite /encode !mulmxA -[in RHS]Ud -[in RHS]Ve.
by rewrite trmx_mul tr_diag_mx !mulmxA.
Qed.

End Lossless.

(* The special spaces: the full one, and KnOTS, which leaves one side alone. *)
Section Spaces.
Variables (F : fieldType) (m n p q : nat).

Corollary lossless_full (D : 'M[F]_(m, n)) : lossless 1%:M 1%:M D.
Proof. by rewrite /lossless /decode /encode !trmx1 !mul1mx !mulmx1. Qed.

Corollary lossless_knots (U : 'M[F]_(m, p)) (D : 'M[F]_(m, n)) :
  pisom U -> cols_in D U -> lossless U 1%:M D.
Proof.
move=> UU /(cols_in_proj _ UU) E.
by rewrite /lossless /decode /encode !trmx1 !mulmx1 mulmxA.
Qed.

Corollary lossless_knots_tr (V : 'M[F]_(n, q)) (D : 'M[F]_(m, n)) :
  pisom V -> (D <= V^T)%MS -> lossless 1%:M V D.
Proof.
move=> VV DV; have /(cols_in_proj _ VV) E : cols_in D^T V.
  by rewrite /cols_in trmxK.
rewrite /lossless /decode /encode !trmx1 !mul1mx -mulmxA.
by apply: trmx_inj; rewrite !trmx_mul !trmxK.
Qed.

(* A pair is lossless exactly when it holds columns and rows: used wherever
   "lossless" is a hypothesis. *)
Lemma losslessP (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) (D : 'M[F]_(m, n)) :
  pisom U -> pisom V ->
  lossless U V D <-> U *m U^T *m D = D /\ D *m (V *m V^T) = D.
Proof.
move=> /pisom_proj UU /pisom_proj VV; rewrite /lossless /decode /encode.
have -> : U *m (U^T *m D *m V) *m V^T = U *m U^T *m D *m (V *m V^T).
  by rewrite !mulmxA.
split=> [E|[EU EV]]; last by rewrite EU.
split; rewrite -[in LHS]E; last by rewrite -[LHS]mulmxA VV E.
by rewrite (mulmxA _ (_ *m D)) (mulmxA _ (U *m U^T)) UU.
Qed.

End Spaces.
