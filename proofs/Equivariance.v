(* Equivariant stages do not see the space.

   A stage turns a stack of matrices, one for each i : I, into a stack indexed
   by J; transforms, merges (J a point) and posts (I and J points) are the
   special cases, so one notion of composition covers every pipeline.

   A stage is a *relation*.  An SVD is not unique, so "S followed by truncate"
   has several right outputs when the spectrum ties; a relation names them all,
   and a theorem that wants one answer asks for uniqueness where it uses it.
   Stacks are finite functions, hence equal when their entries are: no axiom of
   functional extensionality is needed.

   A stage is equivariant when partial isometries E and G that keep the input
   (1) map right outputs to right outputs and (2) keep the output.  For a stage
   that is a function, (2) follows from (1). *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Lossless.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Equivariance.
Variable F : fieldType.

Definition stack (I : finType) p q := {ffun I -> 'M[F]_(p, q)}.
Definition stage (I J : finType) :=
  forall p q, stack I p q -> stack J p q -> Prop.

(* E M G for every M of the stack. *)
Definition move I p q p' q' (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q'))
  (M : stack I p q) : stack I p' q' := [ffun i => E *m M i *m G].

(* E and G act on the stack without loss. *)
Definition keeps I p q p' q' (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q'))
  (M : stack I p q) :=
  forall i, E^T *m E *m M i = M i /\ M i *m (G *m G^T) = M i.

Definition equivariant I J (R : stage I J) :=
  forall p q p' q' (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q')) M X,
    pisom E -> pisom G -> keeps E G M -> R p q M X ->
    keeps E G X /\ R p' q' (move E G M) (move E G X).

(* One right output at M. *)
Definition determined I J (R : stage I J) p q (M : stack I p q) :=
  forall X Y, R p q M X -> R p q M Y -> X = Y.

Definition encode_stack I m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
  (D : stack I m n) : stack I p q := [ffun i => encode U V (D i)].
Definition decode_stack I m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
  (M : stack I p q) : stack I m n := [ffun i => decode U V (M i)].

Lemma keeps_encode I m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (D : stack I m n) :
  pisom U -> pisom V -> keeps U V^T (encode_stack U V D).
Proof.
move=> /pisom_tr UU VV i; rewrite /pisom trmxK in UU.
rewrite !ffunE trmxK /encode !mulmxA UU.
by split=> //; rewrite -!mulmxA (mulmxA V) VV.
Qed.

Lemma move_decode I m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (M : stack I p q) : move U V^T M = decode_stack U V M.
Proof. by apply/ffunP => i; rewrite !ffunE. Qed.

Lemma decode_encode_stack I m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (D : stack I m n) :
  (forall i, lossless U V (D i)) ->
  decode_stack U V (encode_stack U V D) = D.
Proof. by move=> UV; apply/ffunP => i; rewrite !ffunE; exact: UV. Qed.

(* What a stage finds in a lossless space decodes to a right output in full
   space ... *)
Theorem equivariant_decode I J (R : stage I J) m n p q
    (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) (D : stack I m n) (X : stack J p q) :
  equivariant R -> pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
  R p q (encode_stack U V D) X -> R m n D (decode_stack U V X).
Proof.
move=> Req UU VV UV RX; have VV' := pisom_tr VV.
have [_] := Req _ _ _ _ _ _ _ _ UU VV' (keeps_encode D UU VV) RX.
by rewrite !move_decode decode_encode_stack.
Qed.

(* ... so every lossless pair of frames gives the same one. *)
Theorem equivariant_agree I J (R : stage I J) m n p q p' q'
    (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (U' : 'M[F]_(m, p')) (V' : 'M[F]_(n, q')) (D : stack I m n) X X' :
  equivariant R -> determined R D ->
  pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
  pisom U' -> pisom V' -> (forall i, lossless U' V' (D i)) ->
  R p q (encode_stack U V D) X -> R p' q' (encode_stack U' V' D) X' ->
  decode_stack U V X = decode_stack U' V' X'.
Proof. by move=> Req det *; apply: det; exact: equivariant_decode. Qed.

(* An output exists in a space when one exists in full space. *)
Theorem equivariant_encode I J (R : stage I J) m n p q
    (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) (D : stack I m n) (X : stack J m n) :
  equivariant R -> pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
  R m n D X ->
  (forall j, lossless U V (X j)) /\
  R p q (encode_stack U V D) (encode_stack U V X).
Proof.
move=> Req UU VV UV RX; have UU' := pisom_tr UU.
have kD : keeps U^T V D.
  by move=> i; rewrite trmxK; apply/losslessP.
have [kX RE] := Req _ _ _ _ _ _ _ _ UU' VV kD RX; split.
  by move=> j; apply/losslessP => //; have := kX j; rewrite trmxK.
suff mE K (Y : stack K m n) : move U^T V Y = encode_stack U V Y.
  by rewrite -!mE.
by apply/ffunP => k; rewrite !ffunE.
Qed.

(* Composition: pipelines of equivariant stages are equivariant. *)
Definition compose I J K (R : stage I J) (S : stage J K) : stage I K :=
  fun p q M X => exists2 Y, R p q M Y & S p q Y X.

Theorem equivariant_compose I J K (R : stage I J) (S : stage J K) :
  equivariant R -> equivariant S -> equivariant (compose R S).
Proof.
move=> Req Seq p q p' q' E G M X EE GG kM [Y RY SX].
have [kY RY'] := Req _ _ _ _ _ _ _ _ EE GG kM RY.
have [kX SX'] := Seq _ _ _ _ _ _ _ _ EE GG kY SX.
by split=> //; exists (move E G Y).
Qed.

Theorem determined_compose I J K (R : stage I J) (S : stage J K) p q
    (M : stack I p q) :
  determined R M -> (forall Y, R p q M Y -> determined S Y) ->
  determined (compose R S) M.
Proof.
move=> Rd Sd X X' [Y RY SX] [Y' RY' SX'].
by rewrite -(Rd _ _ RY RY') in SX'; exact: Sd RY _ _ SX SX'.
Qed.

(* A relation on single matrices, applied to each entry: per-task stages and
   posts.  [relate i] may differ from task to task. *)
Definition mrel := forall p q, 'M[F]_(p, q) -> 'M[F]_(p, q) -> Prop.

Definition pointwise (I : finType) (r : I -> mrel) : stage I I :=
  fun p q M X => forall i, r i p q (M i) (X i).

Definition equivariant1 (r : mrel) :=
  forall p q p' q' (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q')) M X,
    pisom E -> pisom G -> E^T *m E *m M = M -> M *m (G *m G^T) = M ->
    r p q M X ->
    [/\ E^T *m E *m X = X, X *m (G *m G^T) = X
      & r p' q' (E *m M *m G) (E *m X *m G)].

Theorem equivariant_pointwise (I : finType) (r : I -> mrel) :
  (forall i, equivariant1 (r i)) -> equivariant (pointwise r).
Proof.
move=> req p q p' q' E G M X EE GG kM rX; split=> i.
  by case: (kM i) => kE kG; have [] := req i _ _ _ _ _ _ _ _ EE GG kE kG (rX i).
rewrite !ffunE; case: (kM i) => kE kG.
by have [] := req i _ _ _ _ _ _ _ _ EE GG kE kG (rX i).
Qed.

Lemma determined_pointwise (I : finType) (r : I -> mrel) p q (M : stack I p q) :
  (forall i X Y, r i p q (M i) X -> r i p q (M i) Y -> X = Y) ->
  determined (pointwise r) M.
Proof. by move=> rd X Y rX rY; apply/ffunP => i; apply: rd. Qed.

(* The identity: what a stage leaves alone. *)
Definition mid : mrel := fun p q M X => X = M.

Lemma equivariant_mid : equivariant1 mid.
Proof. by move=> p q p' q' E G M X EE GG kE kG ->. Qed.

(* Linear stages: X_j = sum_i a_ji M_i.  Weighted merges, the mean, centring
   (CART) and refactoring a sum are all of this form. *)
Definition linear_stage (I J : finType) (a : J -> I -> F) : stage I J :=
  fun p q M X => forall j, X j = \sum_i a j i *: M i.

Theorem equivariant_linear (I J : finType) (a : J -> I -> F) :
  equivariant (linear_stage a).
Proof.
move=> p q p' q' E G M X EE GG kM Xj; split=> j.
  rewrite Xj mulmx_sumr mulmx_suml; split; apply: eq_bigr => i _.
    by rewrite -scalemxAr; case: (kM i) => ->.
  by rewrite -scalemxAl; case: (kM i) => _ ->.
rewrite ffunE Xj mulmx_sumr mulmx_suml; apply: eq_bigr => i _.
by rewrite ffunE -scalemxAr -scalemxAl.
Qed.

Lemma determined_linear (I J : finType) (a : J -> I -> F) p q
  (M : stack I p q) : determined (linear_stage a) M.
Proof. by move=> X Y EX EY; apply/ffunP => j; rewrite EX EY. Qed.

End Equivariance.

(* The statement for methods that are functions: one merge per shape, as in
   the library, where a user's own function of a stack is a merge too. *)
Section Functions.
Variable F : fieldType.
Variable I : finType.
Variable merge : forall p q, stack F I p q -> 'M[F]_(p, q).

(* merge {E M_t G} = E (merge {M_t}) G for partial isometries that keep M. *)
Definition merge_equivariant :=
  forall p q p' q' (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q')) (M : stack F I p q),
    pisom E -> pisom G -> keeps E G M ->
    merge (move E G M) = E *m merge M *m G.

Hypothesis merge_eq : merge_equivariant.

(* The output stays where the input lives. *)
Lemma merge_kept p q p' q' (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q'))
    (M : stack F I p q) :
  pisom E -> pisom G -> keeps E G M ->
  E^T *m E *m merge M *m (G *m G^T) = merge M.
Proof.
move=> /pisom_tr EE GG kM; have := pisom_proj EE; rewrite trmxK => EE2.
have GG2 := pisom_proj GG.
have sE : (E^T *m E)^T = E^T *m E by rewrite trmx_mul trmxK.
have sG : (G *m G^T)^T = G *m G^T by rewrite trmx_mul trmxK.
rewrite -merge_eq.
- by congr merge; apply/ffunP => i; rewrite ffunE; case: (kM i) => -> ->.
- by rewrite /pisom sE !EE2.
- by rewrite /pisom sG !GG2.
- by move=> i; rewrite sE sG EE2 GG2.
Qed.

Theorem merge_full m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (D : stack F I m n) :
  pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
  decode U V (merge (encode_stack U V D)) = merge D.
Proof.
move=> UU VV UV; rewrite /decode -merge_eq //.
- by rewrite move_decode decode_encode_stack.
- exact: pisom_tr.
- exact: keeps_encode.
Qed.

Corollary merge_agree m n p q p' q'
    (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (U' : 'M[F]_(m, p')) (V' : 'M[F]_(n, q')) (D : stack F I m n) :
  pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
  pisom U' -> pisom V' -> (forall i, lossless U' V' (D i)) ->
  decode U V (merge (encode_stack U V D)) =
  decode U' V' (merge (encode_stack U' V' D)).
Proof. by move=> *; rewrite !merge_full. Qed.

End Functions.
