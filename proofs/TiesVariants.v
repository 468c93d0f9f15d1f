(* TIES with weights, in all its variants: votes weighed before the election or
   not, election by mass or by count, sum or mean of what agrees, divided by
   how many agree or by the sum of their weights.  All sixteen carry signed
   permutations over where every election is decided, and none is determined
   by more than the basis: the rotation of Ties.v changes each. *)
From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From CoreMerge Require Import Frame Ties.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Variants.
Variable F : realFieldType.
Variables before by_count summed by_weight : bool.

(* An entry is a list of pairs (weight, value), one a task. *)
Definition vote (x : F * F) := if before then x.1 * x.2 else x.2.
Definition tally (x : seq (F * F)) :=
  total [seq (if by_count then Num.sg (vote y) else vote y) | y <- x].
Definition elected (zero : F) (x : seq (F * F)) :=
  if tally x == 0 then zero else Num.sg (tally x).
Definition voters (e : F) (x : seq (F * F)) :=
  [seq y <- x | (vote y != 0) && (Num.sg (vote y) == e)].
Definition aggregate (x : seq (F * F)) :=
  let sum := total [seq y.1 * y.2 | y <- x] in
  let share := if by_weight then total [seq y.1 | y <- x] else (size x)%:R in
  if summed then sum else sum / (if share == 0 then 1 else share).
Definition variant_entry zero x := aggregate (voters (elected zero x) x).

(* [rule] makes the sign for undecided entries out of the stack. *)
Definition ties_variant p q (rule : seq (F * 'M[F]_(p, q)) -> F)
    (M : seq (F * 'M[F]_(p, q))) : 'M[F]_(p, q) :=
  \matrix_(i, j) variant_entry (rule M)
    [seq (N.1, N.2 i j) | N : F * 'M_(p, q) <- M].

Definition tally_decided (x : seq (F * F)) :=
  tally x = 0 -> forall y, y \in x -> vote y = 0.

Section Sign.
Variable c : F.
Hypothesis c1 : c = 1 \/ c = - 1.
Let signed (y : F * F) := (y.1, c * y.2).

Let voteE y : vote (signed y) = c * vote y.
Proof. by rewrite /vote; case: before => //=; rewrite mulrCA. Qed.

Let sgE x : Num.sg (c * x) = c * Num.sg x.
Proof. by rewrite sgrM; case: c1 => ->; rewrite ?sgrN sgr1. Qed.

Let c0 : c != 0.
Proof. by case: c1 => ->; rewrite ?oppr_eq0 oner_eq0. Qed.

Let tallyE x : tally (map signed x) = c * tally x.
Proof.
rewrite /tally -map_comp -total_map -[in RHS]map_comp; congr total.
by apply: eq_map => y /=; rewrite voteE; case: by_count.
Qed.

Let voters_none e x : (forall y, y \in x -> vote y = 0) -> voters e x = [::].
Proof.
move=> x0; apply/eqP; rewrite -(negbK (_ == _)) -has_filter.
by apply/hasPn => y /x0 ->; rewrite eqxx.
Qed.

Let votersE e x : voters (c * e) (map signed x) = map signed (voters e x).
Proof.
rewrite /voters filter_map; congr map; apply: eq_filter => y /=.
by rewrite voteE sgE mulf_eq0 (negbTE c0) (inj_eq (mulfI c0)).
Qed.

Let aggregateE x : aggregate (map signed x) = c * aggregate x.
Proof.
have sumE : total [seq y.1 * y.2 | y <- map signed x] =
            c * total [seq y.1 * y.2 | y <- x].
  rewrite -total_map -!map_comp; congr total.
  by apply: eq_map => y /=; rewrite mulrCA.
have shareE : [seq y.1 | y <- map signed x] = [seq y.1 | y <- x].
  by rewrite -map_comp; exact: eq_map.
by rewrite /aggregate sumE shareE size_map; case: summed; rewrite // mulrA.
Qed.

Theorem variant_entry_sign z z' x : tally_decided x ->
  variant_entry z' (map signed x) = c * variant_entry z x.
Proof.
move=> xd; rewrite /variant_entry /elected tallyE mulf_eq0 (negbTE c0) /=.
case: eqP => [/xd x0|_]; last by rewrite sgE votersE aggregateE.
have agg0 : aggregate [::] = 0.
  by rewrite /aggregate /=; case: summed; rewrite ?mul0r.
rewrite !voters_none //= ?agg0 ?mulr0 // => y /mapP[y' /x0 v0 ->].
by rewrite voteE v0 mulr0.
Qed.

End Sign.

Theorem ties_variant_signed_perm p q
    (rule rule' : seq (F * 'M[F]_(p, q)) -> F)
    (e : 'rV_p) (s : 'S_p) (f : 'rV_q) (u : 'S_q) (M : seq (F * 'M[F]_(p, q))) :
  sign_row e -> sign_row f ->
  (forall i j, tally_decided [seq (N.1, N.2 i j) | N : F * 'M_(p, q) <- M]) ->
  ties_variant rule'
    [seq (N.1, signed_perm e s *m N.2 *m (signed_perm f u)^T) | N <- M] =
  signed_perm e s *m ties_variant rule M *m (signed_perm f u)^T.
Proof.
move=> e1 f1 Md; set M' := map _ _; apply/matrixP => i j.
rewrite signed_permE [LHS]mxE [in RHS]mxE.
rewrite -(variant_entry_sign (sign_mul i j e1 f1) (rule M) (rule' M') (Md _ _)).
rewrite -!map_comp; congr variant_entry; apply: eq_map => N /=.
by rewrite signed_permE.
Qed.

End Variants.

(* Each variant in two bases, both weights 1: D_1 = 5 e_1 (1 0) and
   D_2 = 5 e_2 (1 0), the rotation by (3/5, 4/5). *)
Section TwoBases.
Variables before by_count summed by_weight : bool.
Local Notation merge := (ties_variant before by_count summed by_weight).
Let D1 := mx22 5%:Q 0 0 0.
Let D2 := mx22 0 0 5%:Q 0.
Let U := mx22 (3%:Q / 5%:Q) (- (4%:Q / 5%:Q)) (4%:Q / 5%:Q) (3%:Q / 5%:Q).

Lemma merge22 rule a b c d a' b' c' d' :
  let M := [:: (1, mx22 a b c d); (1, mx22 a' b' c' d')] in
  let entry x y := variant_entry before by_count summed by_weight (rule M)
                     [:: (1, x); (1, y)] in
  merge rule M = mx22 (entry a a') (entry b b') (entry c c') (entry d d').
Proof. by move=> M entry; rewrite [LHS]mx22E; congr mx22; rewrite mxE /= !mxE. Qed.

Theorem ties_variant_basis_dependent
    (rule rule' : seq (rat * 'M[rat]_2) -> rat) :
  (forall M, rule M = 1 \/ rule M = - 1) ->
  U *m merge rule [:: (1, U^T *m D1); (1, U^T *m D2)] <>
  merge rule' [:: (1, D1); (1, D2)].
Proof.
move=> rule1.
have UD1 : U^T *m D1 = mx22 3%:Q 0 (- 4%:Q) 0.
  by rewrite /U /D1 tr22 mul22; congr mx22; apply/eqP; vm_compute.
have UD2 : U^T *m D2 = mx22 4%:Q 0 3%:Q 0.
  by rewrite /U /D2 tr22 mul22; congr mx22; apply/eqP; vm_compute.
rewrite UD1 UD2 !merge22 mul22; set z := rule _; set z' := rule' _.
move=> /matrixP/(_ 1 0); rewrite !mxE /= => /eqP.
have [-> | ->] : z = 1 \/ z = - 1 by exact: rule1.
  by case: before; case: by_count; case: summed; case: by_weight; vm_compute.
by case: before; case: by_count; case: summed; case: by_weight; vm_compute.
Qed.

End TwoBases.
