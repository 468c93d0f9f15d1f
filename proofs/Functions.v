(* Over a real closed field the relations are functions.

   An SVD exists, so each stage has an output for every input; where a theorem
   says that there is at most one, there is exactly one: polar and
   isotropization always, truncation, TSV, CART and Iso-CTS given gaps at
   their cuts.  An equivariant stage then has one update for all lossless
   spaces, and finds it in each. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Lossless Equivariance Svd Polar.
From CoreMerge Require Import SingularValues SvdExists Truncation Tsv Cart IsoC.
From CoreMerge Require Import IsoCts.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition total (F : fieldType) (I J : finType) (R : stage F I J) :=
  forall p q (M : stack F I p q), exists X, R p q M X.

Section Stages.
Variable F : fieldType.

Lemma total_compose (I J K : finType) (R : stage F I J) (S : stage F J K) :
  total R -> total S -> total (compose R S).
Proof.
move=> Rt St p q M; have [Y RY] := Rt p q M; have [X SX] := St p q Y.
by exists X, Y.
Qed.

Lemma total_pointwise (I : finType) (r : I -> mrel F) :
  (forall i p q (M : 'M_(p, q)), exists X, r i p q M X) ->
  total (pointwise r).
Proof.
move=> rt p q M; have /fin_all_exists[X rX] i := rt i p q (M i).
by exists [ffun i => X i] => i; rewrite ffunE.
Qed.

Lemma total_linear (I J : finType) (a : J -> I -> F) : total (linear_stage a).
Proof.
by move=> p q M; exists [ffun j => \sum_i a j i *: M i] => j; rewrite ffunE.
Qed.

Lemma total_determined (I J : finType) (R : stage F I J) p q
    (M : stack F I p q) :
  total R -> determined R M -> exists! X, R p q M X.
Proof.
move=> Rt Rd; have [X RX] := Rt p q M.
by exists X; split=> // Y RY; exact: Rd.
Qed.

(* One update for all lossless spaces, found in each of them. *)
Theorem one_update (I J : finType) (R : stage F I J) m n (D : stack F I m n) :
  equivariant R -> total R -> determined R D ->
  exists X, forall p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
    pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
    exists2 Y, R p q (encode_stack U V D) Y &
      forall Z, R p q (encode_stack U V D) Z -> decode_stack U V Z = X.
Proof.
move=> Req Rt Rd; have [X RX] := Rt m n D; exists X => p q U V UU VV UV.
have [Y RY] := Rt p q (encode_stack U V D); exists Y => // Z RZ.
by apply: Rd => //; exact: equivariant_decode RZ.
Qed.

End Stages.

Section Methods.
Variable F : rcfType.

Theorem polar_function m n (X : 'M[F]_(m, n)) : exists! W, polar X W.
Proof.
have [k [P [s [Q svd]]]] := csvd_exists X; exists (P *m Q^T); split.
  by exists k, P, s, Q.
by move=> W; apply: polar_determined; exists k, P, s, Q.
Qed.

Theorem isotropize_function f m n (X : 'M[F]_(m, n)) :
  exists! Y, isotropize f X Y.
Proof.
have [k [P [s [Q svd]]]] := csvd_exists X.
exists (f (\sum_i s 0 i) k *: (P *m Q^T)); split; first by exists k, P, s, Q.
by move=> Y; apply: isotropize_determined; exists k, P, s, Q.
Qed.

(* An SVD cut after its first rk triplets. *)
Lemma csvd_cut rk m n r (X : 'M[F]_(m, n)) (P : 'M_(m, r)) s (Q : 'M_(n, r)) :
  csvd X P s Q ->
  exists k l (P1 : 'M_(m, k)) s1 (Q1 : 'M_(n, k))
    (P2 : 'M_(m, l)) s2 (Q2 : 'M_(n, l)),
  [/\ csvd X (row_mx P1 P2) (row_mx s1 s2) (row_mx Q1 Q2), k = minn rk (k + l)
    & forall i j, exists a b : 'I_r,
        [/\ (a < rk)%N, (rk <= b)%N, s1 0 i = s 0 a & s2 0 j = s 0 b]].
Proof.
move=> svd; have [k [l [rE kE]]] : exists k l, r = (k + l)%N /\
    k = minn rk (k + l).
  by exists (minn rk r), (r - minn rk r)%N; rewrite subnKC // geq_minr.
move: P s Q svd; rewrite rE => P s Q svd.
exists k, l, (lsubmx P), (lsubmx s), (lsubmx Q), (rsubmx P), (rsubmx s), (rsubmx Q).
rewrite !hsubmxK; split=> // i j; exists (lshift l i), (rshift k j).
have kl : k = rk.
  by move: kE; rewrite /minn; case: ltnP => // _ /eqP;
     rewrite -{1}[k]addn0 eqn_add2l => /eqP E; case: (j); rewrite -E.
by split; rewrite ?mxE //= -kl ?leq_addr.
Qed.

Theorem lowrank_exists rk m n (X : 'M[F]_(m, n)) : exists Y, lowrank rk X Y.
Proof.
have [r [P [s [Q [svd sd]]]]] := svd_exists X.
have [k [l [P1 [s1 [Q1 [P2 [s2 [Q2 [svd' kE cut]]]]]]]]] := csvd_cut rk svd.
exists (P1 *m diag_mx s1 *m Q1^T), k, l, P1, s1, Q1, P2, s2, Q2; split=> //.
split=> // i j; have [a [b [ak kb -> ->]]] := cut i j.
by apply: sd; exact: ltnW (leq_trans ak kb).
Qed.

Theorem lowrank_function rk m n (X : 'M[F]_(m, n)) :
  gap rk X -> exists! Y, lowrank rk X Y.
Proof.
move=> Xgap; have [Y XY] := lowrank_exists rk X.
by exists Y; split=> // Z; exact: lowrank_determined.
Qed.

(* A gap as one reads it off: between the values before and after the cut. *)
Lemma gap_values rk m n r (X : 'M[F]_(m, n)) (P : 'M_(m, r)) s (Q : 'M_(n, r)) :
  csvd X P s Q -> (forall a b : 'I_r, (a < rk <= b)%N -> s 0 b < s 0 a) ->
  gap rk X.
Proof.
move=> svd ab; have [k [l [P1 [s1 [Q1 [P2 [s2 [Q2 [svd' kE cut]]]]]]]]] :=
  csvd_cut rk svd.
have strict i j : s2 0 j < s1 0 i.
  by have [a [b [ak kb -> ->]]] := cut i j; rewrite ab // ak.
exists k, l, P1, s1, Q1, P2, s2, Q2; split=> //.
by split=> // i j; exact: ltW.
Qed.

Corollary gap_rank rk m n (X : 'M[F]_(m, n)) : (\rank X <= rk)%N -> gap rk X.
Proof.
have [r [P [s [Q svd]]]] := csvd_exists X; rewrite (csvd_rank svd) => rk_ge.
apply: (gap_values svd) => a b /andP[_ kb].
by have := leq_trans rk_ge kb; rewrite leqNgt ltn_ord.
Qed.

(* The triplets of a whole stack at once. *)
Lemma csvd_stack (I : finType) p q (Y : I -> 'M[F]_(p, q)) :
  exists (r : I -> nat) (P : forall t, 'M[F]_(p, r t))
    (s : forall t, 'rV[F]_(r t)) (Q : forall t, 'M[F]_(q, r t)),
    forall t, csvd (Y t) (P t) (s t) (Q t).
Proof.
pose triplets := {k : nat & ('M[F]_(p, k) * 'rV[F]_k * 'M[F]_(q, k))%type}.
have /fin_all_exists[w wE] t : exists w : triplets,
    csvd (Y t) (tagged w).1.1 (tagged w).1.2 (tagged w).2.
  have [k [P [s [Q svd]]]] := csvd_exists (Y t).
  by exists (existT _ k (P, s, Q)).
by exists (fun t => tag (w t)), (fun t => (tagged (w t)).1.1),
          (fun t => (tagged (w t)).1.2), (fun t => (tagged (w t)).2).
Qed.

Variable T : nat.

Theorem join_exists : total (@join F T).
Proof.
move=> p q Y; have [r [P [s [Q svd]]]] := csvd_stack Y.
have [WU [pU _]] := polar_function (\mxrow_t P t).
have [WV [pV _]] := polar_function (\mxrow_t Q t).
exists [ffun _ => WU *m (\mxdiag_t diag_mx (s t)) *m WV^T].
by exists r, P, s, Q, WU, WV; rewrite /join_with ffunE.
Qed.

Theorem tsv_exists k : total (@tsv F T k).
Proof.
apply: total_compose; last exact: join_exists.
by apply: total_pointwise => t p q M; exact: lowrank_exists.
Qed.

Theorem tsv_function k p q (M : stack F [finType of 'I_T] p q) :
  (forall t, gap k (M t)) -> exists! X, tsv k M X.
Proof.
by move=> Mgap; apply: total_determined;
   [exact: tsv_exists | exact: tsv_determined].
Qed.

Theorem cart_exists w lambda k : total (@cart F T w lambda k).
Proof.
apply: total_compose; first exact: total_linear.
apply: total_compose; last exact: total_linear.
apply: total_pointwise => -[t|] p q M; first exact: lowrank_exists.
by exists M.
Qed.

Theorem cart_function w lambda k p q (M : stack F [finType of 'I_T] p q) :
  (forall t, gap k (centred w M t)) -> exists! X, cart w lambda k M X.
Proof.
by move=> Mgap; apply: total_determined;
   [exact: cart_exists | exact: cart_determined].
Qed.

Theorem iso_c_function w p q (M : stack F [finType of 'I_T] p q) :
  exists! X, iso_c w M X.
Proof.
apply: total_determined.
  apply: total_compose; first exact: total_linear.
  apply: total_pointwise => _ m n X.
  by have [Y [XY _]] := isotropize_function (@mean_value F) X; exists Y.
by apply: iso_post_determined; exact: determined_linear.
Qed.

Theorem iso_join_exists f : total (@iso_join F T f).
Proof.
move=> p q Y; have [r [P [s [Q svd]]]] := csvd_stack Y.
have [WU [pU _]] := polar_function (\mxrow_t P t).
have [WV [pV _]] := polar_function (\mxrow_t Q t).
exists [ffun _ => f (\sum_t \sum_i s t 0 i) (\sum_t r t)%N *: (WU *m WV^T)].
by exists r, P, s, Q, WU, WV; rewrite /iso_join_with ffunE.
Qed.

End Methods.

Section IsoCts.
Variables (F : rcfType) (T c k : nat).

Theorem iso_cts_exists f : total (@iso_cts F T c k f).
Proof.
apply: total_compose; first exact: total_linear.
apply: total_compose.
  apply: total_pointwise => j p q M; rewrite /common_rel.
  by case: (unlift _ _) => [t|]; [exists M | exact: lowrank_exists].
apply: total_compose.
  move=> p q M; have [r [P [s [Q svd]]]] := csvd_exists (M ord0).
  exists [ffun j => if unlift ord0 j is Some _ then M j - P *m P^T *m M j
                    else M j].
  by exists r, P, s, Q; split=> // j; rewrite ffunE.
apply: total_compose; last exact: iso_join_exists.
apply: total_pointwise => j p q M; rewrite /residual_rel.
by case: (unlift _ _) => [t|]; [exact: lowrank_exists | exists M].
Qed.

Theorem iso_cts_function f p q (M : stack F [finType of 'I_T] p q) :
  gap c (\sum_t M t) ->
  (forall C r (P : 'M[F]_(p, r)) s (Q : 'M[F]_(q, r)) t,
     lowrank c (\sum_t M t) C -> csvd C P s Q ->
     gap k (M t - P *m P^T *m M t)) ->
  exists! X, iso_cts c k f M X.
Proof.
by move=> cgap kgap; apply: total_determined;
   [exact: iso_cts_exists | exact: iso_cts_determined].
Qed.

End IsoCts.
