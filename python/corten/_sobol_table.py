"""Sobol sequences' direction numbers of the first 1111 dimensions. Written by scripts/sobol_table.py.

Bits, most significant first in each byte, written in base 85. `POLYNOMIALS` has one for each odd number below
2^14, whether it is a primitive polynomial over GF(2). `NUMBERS` has, for i = 2, 3, ..., the i - 1 free bits of the
initial number m_i of every polynomial of degree i and above, least significant first: m_i is odd and below 2^i.

The numbers are those of S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections",
SIAM J. Sci. Comput. 30, 2635-2654 (2008), with this licence:

Copyright (c) 2008, Frances Y. Kuo and Stephen Joe
All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
following conditions are met:

    * Redistributions of source code must retain the above copyright notice, this list of conditions and the following
      disclaimer.

    * Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the
      following disclaimer in the documentation and/or other materials provided with the distribution.

    * Neither the names of the copyright holders nor the names of the University of New South Wales and the University
      of Waikato and its contributors may be used to endorse or promote products derived from this software without
      specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT
LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT
SHALL THE COPYRIGHT HOLDERS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES
(INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS
INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING
NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH
DAMAGE.
"""

DIMENSIONS = 1111
DEGREE = 13
POLYNOMIALS = (
    "R!AupKm?LNNrDs!gkT|(00IU80s&}%5&#GQK>!dS0EB`-00{{a5FlX^0fYc30AWCc0R)CYApig<7AQyr2m}%U001EXga7~lAP^8i0ti5YKoA4~Ar"
    "OE75C9+)0AL^xK?DE^2mk;efI$EP01|)*5-30d0zd$O00aO?AP@!s5CC9=0wD;10f3Ys0zfDRD1-oEK>!8_5C|X;kYES^2mpc!Ac7QN03iv4NPqx"
    "Agb5)66kq`o2nG@W1_=NF01$*gC>8)g5@1LWK>`v0kSIZb06_=_2o#VYAOe&~6d?eHfI&b60RjL>1PB0-00IUeK$H?70zfDL0000006+)^00;m80"
    "DuGl5CK300T6@$AOHYB00{s90ssIK000m{00008ga7~l0Rn&t0ssJj00>9`000005C8y>0Rj*p000sI06+i$0RjL30ssI206+i$AQA)s2mk;85GV"
    "iu001BY0000004M+eU;qFh2mk^>fB*mh0000001^NI0FVF(0003100aOafB+x_1ONbn2>=iP00aa;000O81ONa40DyoX1VI1*01yBG0DuqyfIt8M"
    "AdnCM0ssI25CI?rDF6UK5CA{`K!gAwC;$Ke0000004M<fAb=1+0RR91002M$0E7?#0001h00;mE2mk;800a;q06-xC1_2=kNC1F90w4(lKmZg72o"
    "eARk^w-300<xwKn4H_2owN80ssLNAOI8q5GVnH5+F#F004pr1VJbQ0FZ(KKn4IIlmI{g2oiz_0AN6n6e$4$ArJ%rV1NPv1V{)J5J&)$KmY_F06+)"
    "?0TKjAK!AV<6afK%5D7qrAOH{`AOHpd0wG8Q34{b8gdhMCfI$HgKo9_6K>~na0ssky001a}AQS{ZfFNNINB{x>AQS>X00<xg0RV;pf&c)31|UHKA"
    "dr**0tg8dAOsK~2>=uz002OO5MT%Z2?m4!0g?nr00967D3AaFh6yMD03acN0Rj>s5GVlv2>=iY0DyoYfJh+#Apig%5&=Mj002l3C<KN<2?7uZ1V|"
    "tNfJq1xKok%F5Fh~n0D=G@02BlWkRV_b2m}xSf&mB=5J(^b2m}xa0s$b9Ap!zH00Mvr0w_rUgaIK02!sG&0EPkp1Ykh`Aq0X5kU#*C1SmiNA(DVV"
    "U=k2O1PBO#002OQ2>^gdlt2K00RR#JU=Wf320#H45C91R0D_QU2mk;H0%0fw0DuM|07zkw1PCY;0Durd0%2eT0RjR5K>`#A5C8}UKoo*tf&eH2fF"
    "J;nK!g+sDFg%ofIuh!1OPw+AQFHG0tp}zXpn#aNPq+&002M|"
)
NUMBERS = (
    "$Te=RKHS<MC^*KowVKmjXlAPMldw52J(^StfIQoxW<a>o*{9)xBYx!ba49-*`v&^U_FB`6kr^81x~6q=Cn^laZ<xA&P5U9YP9h*XRZS|^{=q#x75"
    "5f12MSszO=BU=*iC=wB^g<bb)-q;s!-p%pkzfTa@sW!i)U#{mIHqH4s#0t>FW?m=)e!iFU~&*c=s7F3yf~mqze<?2Up7(Ynx+Z^u5q~Q5#)YGG1D"
    "p#UIh}f6bx!gl1`t3L`J;MSLk{y<j_{Z6l5#F_N`Q|8BQYUhl*NR_^6H$Rj~f6ZN4el9ZUJO@l=(HQ$hp*4ylhI<#8!dGWUOV8R%}EX*w8J@|A7w"
    "ZfVv&`j)Y{uR8CsGs(mN!6Kq0j{5#EdbS*y-v_P%Nw(A06~GWxgW>9npxCB<uwT8*;C1N-FjBmSC|u9B;?<lM{9cugd*)5BXoL$C&u^{%>kdS0p#"
    "<}IMfHB2ubs*Ms#=IhFcnp@tIR9!$P2Y&3hJfVss1J5rYr#){NB;1EcuV^z*kVaasOD1H5UBX;BgH^;<1i(Q+(T_V^8yOp>Wv^lsF{6IJMuR6_HQ"
    "COkN|S+x!o;^4;$q1!TCYY(Htahk{U?Js-ScO1ATPk3S>B8$J>@gzkM=<qJ;yHoo4Dh^L@#yIa8NQuSE@w%$DRi#63se<~3Y#Y_*VVBt%36Lw`l2"
    ";+KVeP)zGwmEr<Vx-LzT@~MF&R+v1p(5&I_a~Nd%HIR2IT}L368x#N`w2n8OVT-E7Hh{=v0v#BpZ=E3<rY9lYqgdz78x%)H9mEy-Cj`RLGs{>#Ms"
    "Mtv8i>yJqT$wB6Z?WA=sBTDw_1t$UzXQ{80P!hZ!+{zX;2{OWelO==_kx2iY==1gV*-s(w7*HXkXUMHMj_g+<Uv5<u5dg4C=Krr~{BS+s6bm7$if"
    "eReqk>m!!e;kc=t8a5q!d-tjNft}i0!!^0Emm3vcoT%_Kc5E3`4SX%bXZmP_EWb3W!&6q4g$W|+t>qX^0UR!!A4xs=fqqKP;|e)FV%=?`Wql;yR3"
    "dDz~e$2bOeByL|_%Wolts>M%5%FdF0}f75KM}I@kqs0LQGF4IlMtb0OVYH%|g|Q~Tz$I$nXI0i9r(b-RTj(uGD-wCIFWKFa`Hf9#^#HNc28;G<1?"
    "cxQV|fQ$jJC33x&89+957HtQumV|rg3{37^JKHa3RYav%Ad3J8M7M0(y%MD?V)$!P$v5?xp+1sWDmC~1YJOA@SX0PDxFJ?+6~W#I;F%!2b4s}}nU"
    ";CCRvl@UQBsDH8=Sd($;$1n?3YH19wqsR@Y#NuQ!}En<29kSx`~x|)V9`NWH0QKyPqfwzvKbrqppm0pFb^2f|#lmOKCW##UT#75?N5|hL)M><AwX"
    "Fq{`$vJ~`%u=Uo?`D)RH6I0DOL^v!}F#X{k)aG4bC52{|HMJ(pTrQ^B`mKVemg?er3BvFfOCg$Ud3QtR~m~0vuSH<u*yn1ZneQy+x2^_Bzh$LV`W"
    "00Zk&@m=Wt${4)fwx8O;Ss}NqWIo6(ynrxjA10}2;ai&;+ksHT<cW<(r@T5mKv7HfOw;*q{@0-k>*cGhN}_dpQzK*OxefAl$2fiOqXq}M87o0`=2"
    "qea)8BBic?(^uW{KYiAfJkfWM+Q^{&Oy*U&RnYg}K$B65jq*|#mDeCGi?+M+$oVc|<}vpWtqvX`<Cq`7C&QIZZ2TjH?E6CRR@2u{8}gAY~z?@fFZ"
    "`=Pnl=I@{=QS&g&Q@zE4$QEerAF#UflKPFH^F`}1LR5I-trsIu&}Z|JG+tIpP6gH%zihoLPf<Z8eNld*26!hnT<2GYVyyhUwjQ>84@-@xqcR%WHW"
    "Bw~p(xHe%l{(t-r{uUWZHhKdKq<?J3k5j?aN{sACFWLk&dRk*vVi$2u}<P8G*#W__rAq0$sT1&N`5K<1DeLjxQpqm9mDBN?-cJ<dyAMdxo@)qdWd"
    "VfWl1V*EXh3;baOrzZ5PciBr_oRIGzqKw<>#e=A}P5uwPEiiK}PSLlWdYXg**8=L2@&J`UGuiinA6@G<xA5NM9$COmI@+T9%fbcOexcY!2ee=~at"
    ">X^35jsw;FA`sFe@-H1BhQu?Phh8I0;gC>o|*}_vDDKeLvH)=jpMMygnMp$;&2>-w2Ymsg-MT%(9|6$?S}|?&cR5R&1I;pn+r?bi;)vnswTq#mr("
    "qUzl;s)<<=BRds^~~NlKw4)ZwZ=+wGijBh%QvU&IkE_^X&%$wO2hLf@rKu*g!5rrE)&yz=G``w;3B+=uL6_rUe(so9s(RcSf4I7+#8+h2Ewr0CZ|"
    "3AoZr3--Se9<vl*$46im3T5OI=8~DYSfc28w2BJ!L&(5#7N~_)SsgVpjHc2rZE-0lEuT1q$(2n0BqXN8H!rwI=ZSt0Wg@z4NUk21SUX=c?6}f#a="
    "IN323C}HoI~@eYEXFRCiDtqMz*VO#+2MCw2jWlWeLYu1_)5Mt|u!^22e$xtAdfhn^SJV{@5I(mK}hw*@TWzeNZ><TBsy1TYSe51L7Hvi_3Zo`kYi"
    "Tq;-E}BCI7xW8}=3rrcZ}3}Phv;egPiit9WoM)b%-%f*%qq5*<;4LD5rHhEurF@lJ9B}>DB8Lt$mFua%~Mde9{&9n|2;-f$re&zlue{LbGWG<aiH"
    "NJNoPsj35259`Xemsa56|ji0c)<<xIEoAo8_waJmFslgo_rZn_qI=*C@?T>=`O_L{8`)<e9xB;nG)i<WWYq}13@MBxDkgC2aK|Pif_VOR>JK`xaa"
    "Gs>hI2<&VWS1107j8(Hp^QcVzWy&wpGGt7bw+2ep9cHs$qwOKW0*6A9H;?#HSH`ids1f`UHdr#j~h(%}2;k;k%Xo+IN#ApU55a4OEk8;u}{s#gOb"
    "B(zB?NpjZD)$|a=OHSwE(&u%)70QsHEX=QQY6E>cN`L&Yc9zG1ZnViZ4Gvc~2N_+Zxm<<wv%IuzIS!jx&ZBOhooSV#_N`)9&4m3P{5%f}bhWsI_<"
    "~iBTuk1(^W7mvb`5%PCtEzg(|tw>Ar}izTVg6L9^G5=rE!T-pN);PJMA#3*7HLF+|l?;;b@*-kU7f`r0lCY=XF<<6S5);u(IqXtise5GpVEG(o1^"
    "XO%@ttZFG+ctuiUl>1e>DJdU0g;rpH-c+n|c>`n`r*2Gd(s$3?T(?(_)!0<ns5(rkJWPIQYL&@#yI>bD^#YRx5vtLBPt~%cLzJ9v;7K|yxb_U_5+"
    "z*OsmGsR$7*E4z#wD!O(5|sq%8^8nbASMc1NEzS{PTH3ts=ehzN>bFqZ$Aa90Kw}RpF{<?T#8Ldk5#^s}=wt9(R7X`GXx9h>ULnsbc_r-yLz$vAn"
    "AJVlF_48*drkVAgc7qZmw}pfKd#ry=&B`Ji3*^^Y;lPAJ&CdF)1KYp1_*98VCmN}!>cyUnFS)^M`ZXa`#00_tsf_zDrEHg_48#?kou$-8?WmCX=|"
    "BrIKiKI>^*RnhE!Hr$~@GVg*?e!8_)3hEW6N9`TLCdrwEn0Sb9Qi2B?-ry&Yye*{D>D3}J4qHO^>!q5|P&0b!)8wsvd{KiJ*PSXoPS2Whqca`v$O"
    "L?`2wA?oGQ4|;!Ky)85bdlmkDS6Gv$3+#Y$67{W;6e7GM<r3jcLq>ph`(KLkI0d*6f;3;@W*m0HZAhyZ8Z}(*se4(kxkx3D2Nrq55UZ=$!GYroH@"
    "ro=iLQ)K*I2V!)_lP^VEZ6aB%0@W;qB<ju+4Rs)U1tqW2JGZxQ)kFy$&@_~I%`(LN+7lWVrr`Rz~a}#6M4GCce9l`Hq4t~1yf9J!(DO045+k<*Ia"
    "jTPCh%v1)7fUZ8bLgU3s@QscO@5O=r8Qu4CS3FA@W0Z;x3v@FUMimsw{D^{8=v?xhS1*Kq)K}Z<Ycjg!7&ywI{S@Ds&-QYWmby<2>JV&#4s$cOQi"
    "*VHBWcTR>&aDUvZN<f73T!aS&9J1!$BKxNvrNCRs>JA!+pJ%%b?2@G3_<<<r3x?QR0fwIe#%*n@$7-?9~nD(oF17F=(FW2~ZrWz^X-=R7h{Q!kSY"
    "j6x%DhZrv>WewDeGLVI<2P}(b^;?kF(1KrYlOVKR?|x(zMS+!gTArlv>m8T1%{ioqpkvALr;3IvIzVCuY%MwZUn=btJZLo!#V}){u%<>MB9n6GzY"
    "pp8xjIl?(>Hq%xo#)C{7w{L(aW@dz1*J3MIT{>1ere75UM7D%fwV+Km-LsKNuu9X$i?L$eAo&)v>ue5!b4%Z;UgYeP>$FkdtBC&GK^fd^e<G1?ud"
    "r2*X#ZYcS2~Wx!%<A=7v3xKzM4&u@03CC4s=BuAF<G><HxzNW_HKj^UdyKPW(Vg(p|mgKY#APC3Ah`g4Wa3#9WjlO$&HF?3f4xrx`v}Jri$JQQgc"
    "_?up*&gOVqv0!X6HD|Uf{u^)6P|C_MNmk|-Q5-rDIa8VHT}vRtEt~09j)dVB`uaQAZK7Tx1t0(`F{F>P$U>2(>6~TNMNhP8@V)L6c@JskV9xWAWd"
    "|#<yXV|?5^XX00g-;PSh<70-F+@m>|42(C~u=q;<v)x)4Zq)NRSCFN)|F07Z}8{m#bw%RdUaul^%5tgbc-y2$~TSpzNR`Qn;Y&%+gLR*|_SpDw4I"
    "X|zlDF0qvgw`?a5Zw~wL?ry!C=%Y}r=IhSwgX^|PVaTH^KTIql<)fZp8qmu+)b3u4oUOjlvP%9B3c*@P?IKr>MA5S;G>D~%n|AGKC3l(MidXL_GK"
    "h)sjv>Ddd*`vnDmA<vkabxt$c`|&G1ri5Zm2l<gz$c(nPq_&0-p45<uNamLgaxR6#N7w5TxS`y@tZfIMd*N<g@sMQE+6yTVqZ-PHPH2TOcZEr7&;"
    "zFeartV=oE=vD_c(9_uBI0m3?oyTCKi)c(Vs)@?PN)?%Y)l`<?A`*6)@U;j85ioEwG$dyzYur^8zC>vRR=$f<pRlly%fj}uRuvYXL|Bb;l=Aj)!1"
    "1erY+%u7Mh~WGevHfnPE=tD7-saL?*hbZ)A3VeUX;j?-YS|62?QTF?Tcud$u&5wcna6u$9}8h)7Q|w{>et_=?{k>+iMl^uxXeo~vOOkao0C#+O>T"
    ">$%M~<HcteKH>r^xjTI@SE>v*kdIbY8d@RWdxCv*hm7JCUogPuv|pJykrlY)(F*pZ_j%#g@`WBM6q=wCHaEWgF$x84*NrSRD3spnlRf8i3Vk)e%P"
    "gXiCl0w9=NMLzJz(=$4%Xk<MOP92(EUBNIUnKp91rzr76jGD({mH}Jj?nm33@@*OLeM~oJSOQXD(q#SJ{qeK;QRM(PQ0dhJ-0ql8FQ;>OUyTBQ*v"
    "^07`8SuiQH_H$Ul|zZuhaE8p$w);IZ(!3`$%WZlo-VdcNCBM!ELP|G`9M<o6RTAC-^bbOArsdURZH|Id^t$qBl;<P_CKQJ{4;jdkTK^#lyMdvH1F"
    ">;IqBY9SvXhhTqcpqH15MxW!r6j!7fH#Y?KC+WNxNc>yTk#6C~TBw*l_dznjjahig@;ChES^{{oaKlceb*k5HXj7!1{9RPi36f)w52B3(gQZ2&it"
    "bpN})Gd%7(%$IMvmIUM3d5kNy~IIqh1JY9@4-3>&IQD{%Z+lf3uXH#1Gs;p!j<ciRVVys10H|NHmUv&Wz!1o7i<NN(b3HHT84df3f{15Q!UDpRA!"
    "QS$L}`Vrj-0*6R3OXx@|%x0!1S*Hmm^`PY{(n+y*rO$D)`QXL`|k3yVi&RtDF$hcv6mzMUBVm0U@IQ4XefI{_!?`LBeH3+oRb1#kGwy&WItY<w$G"
    "Vxf#&Glf2LJB=~Aw3=dVdos`Eiyo?UQo@DuaaA8)*k``q=qgNgmE73`83ZLDi2WM)k925b_Wo+K4lO@;7D3JvJt_JQ$Uepm@*PLi;7mhIe=x1!Ro"
    "k}nDNjqW<U)_YH8ad;eT}yAGWJ7mh;wMjPq7YwwtdRK2=~UgzlvVSvjR3cf@M)EK;PZd5M+>yHiHrPLzS*m;XaAQ1wZ+*>Nj+Q(&gXVyVOOZ+~^^"
    "6-=1S=8qdmUZ<IU}!wK0Vkhm2w*jhRT6_zO&6D^8ZUpSxo(OBRD-k@+_TLYcqqhn#ks5dTMk%NKKk7|{~hgL<mIe)L<OoK(u@kU_u*kaH@LFBMYb"
    "h?R9m>KDgsU%rD#Orh&<lAQ49F9eEbgQI*=3(nV1~oP?Hc5a$^&2}FWtEJ4q}V7jJiKc94p1e&bvL`J6|KD^s}7etKoGNwcN`HNjmM<KQ-dq%E;Q"
    "5cv_sl`|4q&=%)&`!SJk9YlT-U0NCj-0eF1#K^9$SFM;>qnem%e0xR^J1ZdB~{r+6JosLF(Y$1WhQ11hpG)O!&-adJt=GL}m;eljFLrKmDM(mkN`"
    "%%Bc!X|5M%Uph<lwoRIl>Q{gz^$$ARn+T698Y6RHZuCIs?{9vLTOSpTd&U*Mmrxv|<)cw8j!5oQ9~&AZleiGa(krprl&wgrKDjcesa+3R0=871W3"
    "gVFwA+qGpMBF`xfXpx^x7<&jH>dk&?uCik(7?FL{BgL2A%WL7nfJ8F`S6_3Xg`d2!QwNm>6rZ1qCmu(g;XZDNr;OQ}FGTYa9|-ENqqu^{S}DO8M7"
    "6-=`_X*;v&n2A)D5ca@C7&0!a`(Dgp2SkTYkL=5pfuEkO+d5wQo`XedR485Xouzj{5S0jJdP|Oa5&J2yDwGdG#1kwScyeF7egYX7Mk}VyDUD)XK_"
    "SEqx9Akb)h@I%*4~MSzhiiT_XcS#z2?O9)$sdaE6T2(hlPkj9THZ-0$?ju-N(=gyjkY+mcPrcMg(s7Zj{Otd6Nj5l=EtAE9U}5DfeLbI0NfmTAQc"
    "t>RDrt<Dm|A(evPYHGNh|0JW{Ix)G=K0GQJK`;S0;3jBpZ$E>beL)z8*2p{KCUZ;av-W%rm)jw7<?kR0AfrTO60Rr_MfmV|}+$f>4;o_j*~^EMl%"
    "0Qa>cF9f>{1_qubHjrR1eoUk<_qpwCXjT*?)pB7>BG8o_(-y~VpE-*_{e8*db+f>7!MdBp#xq#Y4E?&582N~49D@Klv(%%d9?g-j^;vBBZoUjO@@"
    "{A3sAGS8AW!>i1<@I|5P6AenwDs_0}#CP5(<zAkC0yKW#n8S5tU<6$4_(?83wKMwtKR4Mg6uZ?=A$<pS$eGDmAkJsoI95M~ID&Tr+XW#BJ0LM;(5"
    "m)(`WDVj7)<ooFREfQfaT#U((M6%%VvHT~~0d+_O073x)7B!`&o^5ywRAcg5)G#!~s4Gu`%_R`bgx-S%fHIqTT2ouY$?iVmpalCJup&wV@XI)`#H"
    "*S>}t2VeF<2w@?0hRf31ZGb9Ih0V|gM<S+Yv?h$`r26TzBZ|RQ~x|Zuyy;{+Y)?mnOU1rGhXAq0-3j44XtClsnD@GnuA&4BJ)dqw8hw(1)UCwtU!"
    "l-i<twBb$A6pB?GXRk|(GjZW)olw)h)0_PsEYzo^p=LicDIiGabg^lMd)n;#64e{W)Dq2|B~<~(W^V&2&^N=|aVLk65~;30&RMC}*}ss)Sk3?6Ka"
    "!LcRW3;<@o*)5+)C4@TgMu^m!SE-_&rXjKUhfh)re!`NYA_u<&iF#)O=(eP4(?f#E<7%_1?_!WAc@JWqv()in2~cipZYj{i`0@OD>;~fSD2Ua7q<"
    "?gZB;#9~Z04o^)7*rO2=YbErsASTz|6Gjda#1;`jC9{RMhL)W^xxq=3yxBM0#39s%!y(YvI?ivY*vB12`LVIQ^o|TFh-+S~cKsJ0m46iD^=<vd!l"
    "8XsJL#rlX%*(j|)&>ZxT)%SyS7Cq`|v#h5f5z-T(%_<<X12z6_`Ew1fP_$gy~`x&8t75{+Wqff9f(tjp3o1+?A4XD48k~W1~kDU8Tj4tl88z935;"
    "v!OeC`pEsbJOt|Q~TmRbuG6-KrpZK?4)HvdKc)}?_>EfVSK~7q&$VZN9EV+!<It5ZeD(ja1O8cWp-Ua(*ADOCd1oPC*ud+Ap41fGi^^0Tq1zZzg~"
    "A<R4*Ntw_){++P*=Ue6A3W+m^4sPoGn^S~c^Lg3-G+BHhzyTR$GQ(Q)^UpT<|>5GomirtmPOIB|A#4O!1}Q08mRZjTgLIul7VUX27+7{Ahy%3N26"
    "o|APzRp_=iqv+t$SMglTS$&;l)scsNnK<)Ey8hIW3FB5}2~O6*9%IQCj;P>c1_}0k!kx-fXbLyMvtPSBvsygbo9B}^G!^Xu-dj~#=NBha-}UPLmY"
    "gP3tFeT4l-!WL@>3MkuL^>gOVGi2*Wmot(Yc+W*K__A04qhGBIaqhvX57YUJEsz0xL;Zt-1_5xJAq9%q3Z#s$N#{CLrl@k0ZqAko9mp(|P>`*9ly"
    "9G-H@31k#(@L+_1_b5Tic`fb9bpsm>MlodX+NPm4Y^`z+&M3r39U`r(rEAD4xx4=pnm<vc4gi5uY3)XHyGKyE5&U7$5jT8@p6wOZh5{D(}^7xkGz"
    "%5h+<{?&EpB+qubo*s;CH@RtXl?W2<EEh@NCui6C3d_P%Z-BZ#~S8+gT6=XxQtEAw^oW+@hQ14Mm{@eG2$3Nz8DUqTa}Z#Kf=i|Qm?@M@Nnss-B!"
    "vIn~p#eaD=x+-6QEtm~8p4No)acmw_jku!UoK*A$C2ejy2;Z%ebSNH}b!kGX1D7djE`s`_w>b-V{oF2V-i29G@#dK%ciFE#6Itwug*nbA2LrXK;M"
    "u14=e(z`<}{7V5FxwOP;es*YWat_*``sf$_s88aE^7f@*NPvp6l_EopV`Qay={%CpxU>_A;I4~u^b+;Vo|XtI+Zj##WOoAFOo!)qj;~sQ$7w#g!W"
    "S8y`o;*e`fl3olxCjL{wvNPzau*8{9ev7KcEdJz4>7CY>;e2b#bBCHEN?$*1z-SI8GG8uJ!#LN<{DDz;{!)hDHC=kL-DD>*yab<<GClykC1m<ZZm"
    "AEmoKSK%=Dl4vfToi|8^NZ*EfSF`%CxWXpWu#LkXt{)9<uXAi_^{_V~@;A-uxRZ>dx7<jE%*?!<rRDT$-zjz$0+47OLuAwwc(f@EaJll>J%HtnAC"
    "OSR1qHFAUu<QV_gT)v32+-Zi-5Q%!;3WnGu@iN=XyZ7;qeO$v0{O~Z#)da~+hpknT_}d~AC0YYZJ+qE;RjJ)JPydZ$(1bjOM9@uB5A>+49q4DQPO"
    "=XvPFQxz5hz76?71?&d2XbClM0~Sz10+u%UD(0&dO+8j~oybhwchU&;ygjh+|P`n?UZKz*tX{@vH*0Y`eJt<ZpxIYOs@WQCzdYYNMJ&_{Qcl%=+v"
    "2;73b0fpePd(}-Fqq>>b#GWZAspTgt@vqo~Mmc3#do<z91(H-vCLVRsKvB8)0}j)^DS0Ah0Dew~Z<wTh(@B8qtpsji+G-$DwM&Xg5|8D!HPi?BF1"
    "0yKSNsYq_P=Sw{j8IgHzp_S&ymoyNZQG9<a8!S!)1_6S<SCv=01k5>V|yX*4L470g$K5A~IfoK<h%eJCW=~OVnDI@~!^6;f@B4Yd`PRU_R|?-RSe"
    "JO#1Ok=e5SUcW)D+*hkT_hJ~UA<fiuKt^qBLm{Ot8z#<vO#gG)=!}M2vF2g2h#GAdNV_mphblWri&n?0W8`cdbY(Rk;DO#5R-5@3l{o6D|ga5R_B"
    "F+EE*kW*>B8=P$kzSk+Zdg9DJ@%{UDXANLzwKf3dV0mQ2HLHNc>8LhpqM2Sb}Uc}Z`1+M=wBiJ0XD~6)QR%~e?5U+MGtoM0S6&92CAl<XO*?3pZl"
    "fee=oI2S)o1RYk$+l6Qp@;FYW+liw%e<JG1+@EzAE!CPKIR)Tqf-%32Dkni<sxpmn8QQd)3Y{ednI*~N*}+{{dJpZoM?{|@6O@RM^Pdm+((tD$FE"
    "DT9O@P~HFbw?rjZtZy_<itSe2Mm}s@r64M(3l^m%>o`ngJj2cnnN4KINyr$JS;$JoDuPW0+%bV4Lc5z>rwN;!D<cg<7e4VvT4tX`r@`TZG6N<PD*"
    "1k+kWy}iwNEnPD!EV28`PznR%)8<KMckyCJ@9O&oNQU-uJo7YocIgjxHB&YKN-{s2CHi`Nn@NpK=}+kBE{&{+_k-koLtLY0)0=Fx}Uoj`o3DU@+O"
    "1Mft|FNK)7n)@3-1Vl|eC4JbH$zb%ja68^-Oe-AviP$k}ST0x%-7h3lP%W2UD5Gqb@2hGGA8XbTZTDAIMJxD-);A{LWm={NI^|<SxRxP7#&|%(p9"
    "5Y8WrOf*3XqCd-fw#HHJ{(U{D2b(N>&g9gW50Y1i+FMr(aX+wNQ3(mN3Ew;q~pbk1Y#`9=-QA>YS)rP=*NL#{ibpd(#su3lO8zgT<y8z25o(8Qh1"
    "?E?kLD%b;X6?)jI#WM@@iAnYlO&e+(7erKv|Z))#>*5mb%Sh66+=6zeTF%vX=S(SgS|TLTP!Ea&J4-bX(edZ$4<s6(_R$zsiHuX$iMnBFm!g%BNK"
    "Gs}x%FH-X^2;Ua(wayFu=in9Y0<3B=zKK)^4t}acptmoE>vh_wl<);@g(;OD*CM04Kqu3E$bF_F0xHBP=X0Z@>?y4;t>72UDmtj*1nhFVd1PE2?P"
    "{Wy>Y`)mEI|jNHLXdseuc_3LBfzq*gE~&Q$*j2^A2!GrkrH;FzDL8e8z0;0k&sd)+K>l`^cmJRZ#;b;>}VHj8Wvc(4%`8EB|4d-*1lRL2L$J#Z}m"
    "ep7=@)QX^}3QJ_?g1ZfsU;5h(UNbS_yRPK<otw~ijmi_1Cd0Jcc9!e98$5oJe{VBaKN_9y!>WR`RB;g9XDn>umnmM>@wHhKrZcZ|b+D?ooc)?y~M"
    "OAi*{G`|5W-s?4QGysJzJ|v}Nl8VA`~`m_#<;s|yRf>V{9%&uPp`Ziup)=Bh@|h$_y#p-!1NkB0^jo{U4(J<cWDy?aY)X2>%uDYY+P|O@vM+z>oY"
    "{WHL@b;9gX#|?+}^5bP5or6>+2EZm=krM_$x^unWagrOCnHy9#sm?Z<mK6S);5kmQ)-C;H^KP1Uz>4z$Dg>4WA@FWG65-Iy6WrZQfLQ^uU8Fe9oj"
    "!cE@qNJ~c?ipONfkCQMv#iUXgE=WJTMmICW0C{`v8tRvLF7xY>9alY7$MR@cGZrqRJZCNYP_z(U7rWX22~p==!5>Ed&=+gf6PE~xJGdIIPq8cTPf"
    "m6)pm;3G{&yPWUPLRZMYq12NGWjI%ET=9GM8}=5stA)zW1vOFMC;j@WtiRF`Rq3)CF!iHgG$(>M2Qi>4$nkgm6pYQ~_MGnih-t(|>Z214fF7I7+v"
    "9r)M^u-wbDd#RPLq)&kd0oivr-d<lc{&|2e0TDJ2}5}?W?G+P|;<EY{gj?SASR)u;CtA8k%HnkRBBB~mpneLjyWa!R3BJttw<~l&xZx7G};YT9l<"
    "5cf&aca$&N|}$@*bnb|OVfFRY8G`2tPt2V+>kS>mKsa-YP9=&s-qq(|AyD*uoW>kf@l~Ajrwbn2IWh7zEm#v#xp&VcDkBVb@E+{?V}!M1y$Y@U=p"
    "Q0tm|u71BY-+e*-sqeiH=8j=<-up6oV3i&~O?4FlA{h!nTgo(0H5f~^wMHzOkQ2fC**544(+$C)2n17ziFxuUu(IO|+FX;O}-sH@``@dw(5cy}|a"
    "ZJ&7C?-?gHAd!j`Tc0iYNZTwNRt2JH?4xna9zm)yM8}Zu45*Qz*BT=K_+NO;wOO0;-dQV!!o<(G^lrL?N0<URiwMXN(}~4AYbtt$&!E<``hp#e*v"
    "Kd59;!mF;KV5I7i06bB_HdSY##}=L4e^q_V=jOBVGG!{HVX476ro%<3xxl68<Y@)H~>sA{S9vDrA!T+C<YRiQ6n7tx)br3<}*b1IsRMvuJQ)JFHz"
    "2JHYCEwp+c_rS^0bmtQhhFm6;md$^Wjf2Ko}>YNQNhu)I%-r@7Sq+-O1)IG*o){#X0JAc!NmUDAaz-v4hmQ4V?5O2z0h*+VRP0@e"
)
