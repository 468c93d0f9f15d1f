(* Compact singular value decompositions.

   X = P diag(s) Q^T with orthonormal P, Q and every s_i positive: null
   directions are left out, because nothing may depend on them.  The SVD is not
   unique.  What is: the rank, H = Q diag(s) Q^T (the root of X^T X), its
   pseudo-inverse, and the projectors Q Q^T and P P^T.  Everything the stages
   compute is written with these.

   The field is any ordered one.  An SVD need not exist in it (a square root
   may be missing); the theorems speak of the SVDs that are given. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Svd.
Variable F : realFieldType.

Definition csvd m n k (X : 'M[F]_(m, n))
    (P : 'M[F]_(m, k)) (s : 'rV[F]_k) (Q : 'M[F]_(n, k)) :=
  [/\ orthonormal P, orthonormal Q, forall i, 0 < s 0 i
    & X = P *m diag_mx s *m Q^T].

(* The inverse of a positive diagonal. *)
Definition dinv k (s : 'rV[F]_k) := diag_mx (map_mx GRing.inv s).

Lemma mul_dinv k (s : 'rV[F]_k) :
  (forall i, 0 < s 0 i) -> diag_mx s *m dinv s = 1%:M.
Proof.
move=> s0; rewrite mulmx_diag -diag_const_mx; congr diag_mx.
by apply/rowP => i; rewrite !mxE divff // gt_eqF.
Qed.

Lemma dinv_mul k (s : 'rV[F]_k) :
  (forall i, 0 < s 0 i) -> dinv s *m diag_mx s = 1%:M.
Proof. by move/mul_dinv/mulmx1C. Qed.

Lemma tr_dinv k (s : 'rV[F]_k) : (dinv s)^T = dinv s.
Proof. exact: tr_diag_mx. Qed.

Lemma csvd_tr m n k (X : 'M_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  csvd X P s Q -> csvd X^T Q s P.
Proof.
by case=> PP QQ s0 ->; split=> //; rewrite !trmx_mul trmxK tr_diag_mx mulmxA.
Qed.

Lemma csvd_right m n k (X : 'M_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  csvd X P s Q -> X *m Q = P *m diag_mx s.
Proof. by case=> PP QQ s0 ->; rewrite -mulmxA QQ mulmx1. Qed.

(* Left singular vectors lie in the column space of X. *)
Lemma csvd_left m n k (X : 'M_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  csvd X P s Q -> P = X *m (Q *m dinv s).
Proof.
move=> svd; rewrite mulmxA (csvd_right svd); case: svd => _ _ s0 _.
by rewrite -mulmxA mul_dinv // mulmx1.
Qed.

Lemma csvd_rank m n k (X : 'M_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  csvd X P s Q -> \rank X = k.
Proof.
move=> svd; apply/eqP; rewrite eqn_leq; apply/andP; split.
  case: svd => _ _ _ ->; apply: leq_trans (mxrankM_maxl _ _) _.
  by apply: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
have [PP _ _ _] := svd.
rewrite -{1}(mxrank1 F k) -PP [X in (_^T *m X)](csvd_left svd).
by apply: leq_trans (mxrankM_maxr _ _) (mxrankM_maxl _ _).
Qed.

(* Maps that keep X carry its SVDs along.  With E = U and G = V^T this is the
   last part of the isometry theorem, masked frames included. *)
Theorem csvd_move m n m' n' k (E : 'M_(m', m)) (G : 'M_(n, n'))
    (X : 'M_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  E^T *m E *m X = X -> X *m (G *m G^T) = X ->
  csvd X P s Q -> csvd (E *m X *m G) (E *m P) s (G^T *m Q).
Proof.
move=> EX XG svd; have [PP QQ s0 XE] := svd.
have EP : E^T *m E *m P = P by rewrite (csvd_left svd) (mulmxA _ X) EX.
have GQ : G *m G^T *m Q = Q.
  rewrite (csvd_left (csvd_tr svd)) (mulmxA _ X^T); congr (_ *m _).
  by apply: trmx_inj; rewrite !trmx_mul !trmxK.
split=> //.
- by rewrite /orthonormal trmx_mul -mulmxA (mulmxA E^T) EP.
- by rewrite /orthonormal trmx_mul trmxK -mulmxA (mulmxA G) GQ.
- by rewrite XE trmx_mul trmxK !mulmxA.
Qed.

Corollary csvd_decode m n p q k (U : 'M_(m, p)) (V : 'M_(n, q))
    (M : 'M_(p, q)) (P : 'M_(p, k)) s (Q : 'M_(q, k)) :
  U^T *m U *m M = M -> M *m (V^T *m V) = M ->
  csvd M P s Q -> csvd (decode U V M) (U *m P) s (V *m Q).
Proof.
move=> UM MV svd; rewrite /decode -[in V *m Q](trmxK V).
by apply: csvd_move => //; rewrite trmxK.
Qed.

(* A weighted square norm: its value, its sign and when it is 0. *)
Lemma wtraceE m k (Y : 'M[F]_(m, k)) (s : 'rV_k) :
  \tr (Y *m diag_mx s *m Y^T) = \sum_i s 0 i * (Y^T *m Y) i i.
Proof.
rewrite mxtrace_mulC mulmxA mxtrace_mulC; apply: eq_bigr => i _.
by rewrite mul_diag_mx !mxE.
Qed.

Lemma gram_ge0 m k (Y : 'M[F]_(m, k)) i : 0 <= (Y^T *m Y) i i.
Proof.
by rewrite mxE; apply: sumr_ge0 => a _; rewrite mxE -expr2 sqr_ge0.
Qed.

Lemma wsum_ge0 m k (Y : 'M[F]_(m, k)) (w : 'I_k -> F) :
  (forall i, 0 < w i) -> 0 <= \sum_i w i * (Y^T *m Y) i i.
Proof.
by move=> w0; apply: sumr_ge0 => i _; rewrite mulr_ge0 ?gram_ge0 // ltW.
Qed.

Lemma wsum_eq0 m k (Y : 'M[F]_(m, k)) (w : 'I_k -> F) :
  (forall i, 0 < w i) -> \sum_i w i * (Y^T *m Y) i i <= 0 -> Y = 0.
Proof.
move=> w0 le0; have /eqP : \sum_i w i * (Y^T *m Y) i i = 0.
  by apply/eqP; rewrite eq_le le0 wsum_ge0.
rewrite psumr_eq0 => [/allP Y0|i _]; last by rewrite mulr_ge0 ?gram_ge0 ?ltW.
apply/norm2_eq0; apply: big1 => i _.
have := Y0 i; rewrite mem_index_enum mulf_eq0 gt_eqF //= => /(_ isT).
by move/eqP.
Qed.

(* Two projectors that fix each other are the same. *)
Lemma proj_eq m k l (P : 'M[F]_(m, k)) (Q : 'M[F]_(m, l)) :
  Q *m Q^T *m P = P -> P *m P^T *m Q = Q -> P *m P^T = Q *m Q^T.
Proof.
move=> QP PQ; have sP : (P *m P^T)^T = P *m P^T by rewrite trmx_mul trmxK.
have sQ : (Q *m Q^T)^T = Q *m Q^T by rewrite trmx_mul trmxK.
have E1 : Q *m Q^T *m (P *m P^T) = P *m P^T by rewrite mulmxA QP.
have E2 : P *m P^T *m (Q *m Q^T) = Q *m Q^T by rewrite mulmxA PQ.
by rewrite -[LHS]sP -E1 trmx_mul sP sQ E2.
Qed.

(* A positive semidefinite matrix has one positive semidefinite root.  No
   spectral theorem: for D = H - K with H^2 = K^2, tr(D H D) + tr(D K D) = 0,
   both terms are nonnegative, hence D kills the supports of H and K, D^2 = 0,
   and D is symmetric. *)
Definition psd k n (Q : 'M[F]_(n, k)) (s : 'rV[F]_k) := Q *m diag_mx s *m Q^T.

Lemma tr_psd k n (Q : 'M[F]_(n, k)) (s : 'rV_k) : (psd Q s)^T = psd Q s.
Proof. by rewrite /psd !trmx_mul trmxK tr_diag_mx mulmxA. Qed.

Theorem root_uniq n k l (Q : 'M[F]_(n, k)) (s : 'rV_k)
    (R : 'M[F]_(n, l)) (t : 'rV_l) :
  (forall i, 0 < s 0 i) -> (forall i, 0 < t 0 i) ->
  psd Q s *m psd Q s = psd R t *m psd R t -> psd Q s = psd R t.
Proof.
move=> s0 t0 HK; set H := psd Q s in HK *; set K := psd R t in HK *.
pose D := H - K; have sD : D^T = D by rewrite linearB /= !tr_psd.
have trD k' (Q' : 'M_(n, k')) s' :
    \tr (D *m psd Q' s' *m D) = \sum_i s' 0 i * ((D *m Q')^T *m (D *m Q')) i i.
  by rewrite -wtraceE trmx_mul sD /psd !mulmxA.
have D0 : \tr (D *m H *m D) + \tr (D *m K *m D) = 0.
  rewrite mxtrace_mulC -[D *m K *m D]mulmxA -mxtraceD -mulmxDr.
  have -> : D *m H + K *m D = 0.
    by rewrite /D mulmxBl mulmxBr HK addrA subrK subrr.
  by rewrite mulmx0 mxtrace0.
have zH : \tr (D *m H *m D) <= 0.
  by rewrite -D0 ler_addl trD wsum_ge0.
have zK : \tr (D *m K *m D) <= 0.
  by rewrite -D0 ler_addr trD wsum_ge0.
rewrite trD in zH; rewrite trD in zK.
have DQ := wsum_eq0 s0 zH; have DR := wsum_eq0 t0 zK.
apply/eqP; rewrite -subr_eq0 -/D; apply/eqP/norm2_eq0.
rewrite /norm2 /frob sD {2}/D mulmxBr /H /K /psd !mulmxA DQ DR.
by rewrite !mul0mx subrr mxtrace0.
Qed.

(* The pseudo-inverse of H, and what follows for two SVDs of one matrix. *)
Definition psdV k n (Q : 'M[F]_(n, k)) (s : 'rV[F]_k) := Q *m dinv s *m Q^T.

Lemma psd_mulV n k (Q : 'M[F]_(n, k)) (s : 'rV_k) :
  orthonormal Q -> (forall i, 0 < s 0 i) -> psd Q s *m psdV Q s = Q *m Q^T.
Proof.
move=> QQ s0; rewrite /psd /psdV !mulmxA -(mulmxA _ Q^T) QQ mulmx1.
by rewrite -(mulmxA Q) mul_dinv // mulmx1.
Qed.

Lemma psdV_mul n k (Q : 'M[F]_(n, k)) (s : 'rV_k) :
  orthonormal Q -> (forall i, 0 < s 0 i) -> psdV Q s *m psd Q s = Q *m Q^T.
Proof.
move=> QQ s0; rewrite /psd /psdV !mulmxA -(mulmxA _ Q^T) QQ mulmx1.
by rewrite -(mulmxA Q) dinv_mul // mulmx1.
Qed.

Lemma psd_cols n k (Q : 'M[F]_(n, k)) (s : 'rV_k) :
  orthonormal Q -> (forall i, 0 < s 0 i) -> Q = psd Q s *m (Q *m dinv s).
Proof.
move=> QQ s0; rewrite /psd !mulmxA -(mulmxA _ Q^T) QQ mulmx1.
by rewrite -(mulmxA Q) mul_dinv // mulmx1.
Qed.

Lemma psd_proj n k l (Q : 'M[F]_(n, k)) (s : 'rV_k)
    (R : 'M[F]_(n, l)) (t : 'rV_l) :
  orthonormal Q -> orthonormal R ->
  (forall i, 0 < s 0 i) -> (forall i, 0 < t 0 i) ->
  psd Q s = psd R t -> Q *m Q^T = R *m R^T.
Proof.
move=> QQ RR s0 t0 E.
have RRR := orthonormal_pisom RR; have QQQ := orthonormal_pisom QQ.
apply: proj_eq.
  by rewrite [in LHS](psd_cols QQ s0) E /psd !mulmxA RRR -!mulmxA
     (mulmxA R) (mulmxA (R *m _)) -/(psd R t) -E -psd_cols.
by rewrite [in LHS](psd_cols RR t0) -E /psd !mulmxA QQQ -!mulmxA
   (mulmxA Q) (mulmxA (Q *m _)) -/(psd Q s) E -psd_cols.
Qed.

Lemma psdV_uniq n k l (Q : 'M[F]_(n, k)) (s : 'rV_k)
    (R : 'M[F]_(n, l)) (t : 'rV_l) :
  orthonormal Q -> orthonormal R ->
  (forall i, 0 < s 0 i) -> (forall i, 0 < t 0 i) ->
  psd Q s = psd R t -> psdV Q s = psdV R t.
Proof.
move=> QQ RR s0 t0 E; have PE := psd_proj QQ RR s0 t0 E.
transitivity (psdV Q s *m (psd R t *m psdV R t)).
  rewrite psd_mulV // -PE /psdV !mulmxA -(mulmxA _ Q^T) QQ mulmx1 //.
by rewrite mulmxA -E psdV_mul // PE /psdV !mulmxA (orthonormal_pisom RR).
Qed.

Lemma csvd_gram m n k (X : 'M_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  csvd X P s Q -> X^T *m X = psd Q s *m psd Q s.
Proof.
case=> PP QQ s0 ->; rewrite !trmx_mul trmxK tr_diag_mx /psd !mulmxA.
by rewrite -(mulmxA _ P^T) PP mulmx1 -(mulmxA _ Q^T) QQ mulmx1.
Qed.

Theorem csvd_root m n k l (X : 'M_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k))
    (P' : 'M_(m, l)) s' (Q' : 'M_(n, l)) :
  csvd X P s Q -> csvd X P' s' Q' -> psd Q s = psd Q' s'.
Proof.
move=> svd svd'; apply: root_uniq; [by case: svd | by case: svd' |].
by rewrite -(csvd_gram svd) (csvd_gram svd').
Qed.

Corollary csvd_proj_right m n k l (X : 'M_(m, n))
    (P : 'M_(m, k)) s (Q : 'M_(n, k)) (P' : 'M_(m, l)) s' (Q' : 'M_(n, l)) :
  csvd X P s Q -> csvd X P' s' Q' -> Q *m Q^T = Q' *m Q'^T.
Proof.
move=> svd svd'; have E := csvd_root svd svd'.
by case: svd svd' => _ QQ s0 _ [_ QQ' s0' _]; exact: psd_proj E.
Qed.

Corollary csvd_proj_left m n k l (X : 'M_(m, n))
    (P : 'M_(m, k)) s (Q : 'M_(n, k)) (P' : 'M_(m, l)) s' (Q' : 'M_(n, l)) :
  csvd X P s Q -> csvd X P' s' Q' -> P *m P^T = P' *m P'^T.
Proof.
by move=> /csvd_tr svd /csvd_tr svd'; exact: csvd_proj_right svd svd'.
Qed.

(* The nuclear norm, the sum of the singular values. *)
Corollary csvd_sum m n k l (X : 'M_(m, n))
    (P : 'M_(m, k)) s (Q : 'M_(n, k)) (P' : 'M_(m, l)) s' (Q' : 'M_(n, l)) :
  csvd X P s Q -> csvd X P' s' Q' -> \sum_i s 0 i = \sum_i s' 0 i.
Proof.
move=> svd svd'; have /(congr1 mxtrace) := csvd_root svd svd'.
have trH k' (R : 'M_(n, k')) t :
    orthonormal R -> \tr (psd R t) = \sum_i t 0 i.
  move=> RR; rewrite /psd -mulmxA mxtrace_mulC -mulmxA RR mulmx1.
  by rewrite mxtrace_diag.
by case: svd svd' => _ QQ _ _ [_ QQ' _ _]; rewrite !trH.
Qed.

End Svd.
