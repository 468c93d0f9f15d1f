(* CART at an absolute rank: centre, truncate each residual, collect.

   mean + lambda sum_t lowrank_k (M_t - mean).  Centring and collecting are
   linear, so the composition theorem does the work; a gap is needed in each
   residual.  The index None holds the mean, Some t the residual of task t. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Equivariance Svd Truncation.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Cart.
Variables (F : realFieldType) (T : nat) (w : 'I_T -> F) (lambda : F) (k : nat).

Definition centre (o : option 'I_T) (i : 'I_T) : F :=
  if o is Some t then (i == t)%:R - w i else w i.
Definition residuals (o : option 'I_T) : mrel F :=
  if o is Some _ then @lowrank F k else @mid F.
Definition collect (_ : unit) (o : option 'I_T) : F :=
  if o is Some _ then lambda else 1.

Definition cart :=
  compose (linear_stage (I := [finType of 'I_T])
                        (J := [finType of option 'I_T]) centre)
  (compose (pointwise residuals)
           (linear_stage (J := [finType of unit]) collect)).

Definition centred p q (M : stack F [finType of 'I_T] p q) t :=
  M t - \sum_i w i *: M i.

Lemma centre_some p q (M : stack F [finType of 'I_T] p q)
    (Y : stack F [finType of option 'I_T] p q) t :
  linear_stage centre M Y -> Y (Some t) = centred M t.
Proof.
move=> ->; rewrite /centred /=.
under eq_bigr do rewrite scalerBl.
rewrite sumrB (bigD1 t) //= eqxx scale1r big1 ?addr0 // => i /negbTE ->.
by rewrite scale0r.
Qed.

(* The composition is the method as it is written. *)
Theorem cart_spec p q (M : stack F [finType of 'I_T] p q)
    (X : stack F [finType of unit] p q) :
  cart M X -> exists Y : 'I_T -> 'M_(p, q),
    (forall t, lowrank k (centred M t) (Y t)) /\
    X tt = \sum_i w i *: M i + lambda *: \sum_t Y t.
Proof.
move=> [C CE [Y RY XE]]; exists (fun t => Y (Some t)); split=> [t|].
  by rewrite -(centre_some t CE); exact: (RY (Some t)).
rewrite XE (bigD1 None) //= scale1r (RY None : _ = _) CE /=; congr (_ + _).
rewrite scaler_sumr (reindex_omap Some id) /=; last by case.
by apply: eq_bigl => t; rewrite eqxx.
Qed.

Theorem cart_equivariant : equivariant cart.
Proof.
apply: equivariant_compose; first exact: equivariant_linear.
apply: equivariant_compose; last exact: equivariant_linear.
apply: equivariant_pointwise => -[t|]; first exact: lowrank_equivariant.
exact: equivariant_mid.
Qed.

Theorem cart_determined p q (M : stack F [finType of 'I_T] p q) :
  (forall t, gap k (centred M t)) -> determined cart M.
Proof.
move=> Mgap; apply: determined_compose => [|C CE].
  exact: determined_linear.
apply: determined_compose => [|Y _]; last exact: determined_linear.
apply: determined_pointwise => -[t|] X Y /=; last by move=> -> ->.
by apply: lowrank_determined; rewrite (centre_some t CE).
Qed.

End Cart.

(* Two tasks deviate from their mean by as much, in opposite ways, so what is
   kept of one takes away what is kept of the other: their mean, whatever k and
   lambda are. *)
Section Two.
Variables (F : realFieldType) (lambda : F) (k m n : nat).
Implicit Types A B X Y Z : 'M[F]_(m, n).

Lemma lowrank_opp X Y : lowrank k X Y -> lowrank k (- X) (- Y).
Proof.
move=> [a [b [P1 [s1 [Q1 [P2 [s2 [Q2 [[[PP QQ s0 XE] s21] aE YE]]]]]]]]].
exists a, b, (- P1), s1, Q1, (- P2), s2, Q2.
split=> //; last by rewrite YE !mulNmx.
have PN : row_mx (- P1) (- P2) = - row_mx P1 P2 by rewrite opp_row_mx.
split=> //; rewrite PN; split=> //; last by rewrite XE !mulNmx.
by rewrite /orthonormal [X in X *m _]raddfN mulNmx mulmxN opprK.
Qed.

Theorem cart_of_two A B Y Z :
  let mean := 2^-1 *: (A + B) in
  gap k (A - mean) -> lowrank k (A - mean) Y -> lowrank k (B - mean) Z ->
  mean + lambda *: (Y + Z) = mean.
Proof.
move=> mean Agap AY BZ.
have BE : B - mean = - (A - mean).
  have half : mean + mean = A + B.
    rewrite -mulr2n -scaler_nat scalerA divff; first by rewrite scale1r.
    by rewrite Num.Theory.pnatr_eq0.
  by apply/eqP; rewrite -addr_eq0 addrACA -opprD half (addrC B) subrr.
have {}BZ : lowrank k (A - mean) (- Z).
  by rewrite -[A - mean]opprK -BE; exact: lowrank_opp.
by rewrite (lowrank_determined Agap AY BZ) addNr scaler0 addr0.
Qed.

End Two.
