Há um show amanhã
Você não gosta de histórias de amor.
Eu trabalharei com ela
Olhe para estas fotos
Em cada minuto de raiva você perde sessenta segundos de paz de espírito.
Ainda há muito a fazer
Tom apresentou-se a todos.
Chegou?
Escrevo em nome de meu marido, que está no hospital.
As reclamações dela me irritam.
Estou morrendo de fome.
O que dizem?
Suas reclamações, senhores, nunca têm fim.
Tom tem um pênis grande.
Tom tem um pau grande.
Tom lê a Bíblia todo dia.
Quase todas as portas estavam fechadas.
Olá, eu sou Sepideh.
Não consigo entender por que o Tom não nos deixa ir.
Eu farei tudo o que puder para ajudar o Tom.
Você não perguntou a Tom por que ele fez isso?
Acho que foi assim que o Tom me encontrou.
Você é muito jovem para dirigir um carro.
Pôs um gorro na cabeça.
Tom parece determinado.
Devo confessar que ainda não li.
Gostaria de que estas calças fossem limpas.
Estávamos almoçando juntos.
Eu serei mais cuidadoso
Você não quer saber por que o Tom saiu?
Isso é tudo que eu vi.
O Tom contou para a Mary.
Você diz isto por que está com medo?
Tom admitiu que ele era preguiçoso.
Eu acho que é provável que o Tom faça isso.
Tom canta no coral da escola.
Eu gostaria que o Tom nos ajudasse.
Tom e eu temos nossas diferenças.
Aqui você encontrará todos os tipos de instrumentos musicais.
Temos que encontrar o Tom primeiro.
Eu suspeito que o Tom já saiba disso.
Eu nunca consegui falar com o Tom.
O Tom sabe exatamente do que está falando.
O Tom espera ver você lá.
Não quero ouvir nenhuma outra queixa sobre você.
Acho que isso é um adeus.
Eu estou com vontade de comer alguma coisa.
Ele procurou no quarto a chave perdida.
Layla até se mudou para um quarto separado.
O Tom tentou convencer a Mary a não fazer isso, mas ele não conseguiu.
Quem joga golfe?
Tom não se importa se você vencer.
Tenho um amigo que conhece o Tom.
Tom encheu o copo de vinho de Mary até a borda.
Tom sabe como falar Francês
Eu não tenho tempo para isso
Essa é a única razão pela qual você não gosta do Tom?
Tom entrou no meu escritório e fechou a porta.
Há algo que eu quero
O Tom sabe que ele estava errado.
O chão estava muito frio
Você ouviu sobre o que aconteceu?
Quando tu podes vir à minha casa?
O Tom é muito bom no golfe.
Eu quero sonhar
Foi difícil convencer Tom a fazer a coisa certa.
Quando poderás vir à minha casa?
Por que você está aprendendo inglês?
Você tem mãos bonitas.
Isto não é fácil.
De repente, um homem parou na frente deles.
Você pode me dar uma outra alternativa?
Você está mesmo me ouvindo?
John tentou, em vão, resolver o problema.
Estou começando com a cerveja.
Vocês gostam de música?
Não quero dirigir.
Elas não têm autocrítica.
Eu não posso te contar por que eu fiz isso.
Eu estava querendo falar com você.
O trânsito é pesado por aqui.
Tom não tem ideia de quando Mary irá chegar.
Pense cuidadosamente sobre isso.
As senhoras não têm autocrítica.
Tom gostava de ajudar a Mary.
Tom geralmente não chega aqui na hora.
Eu me pergunto se Tom está realmente com medo.
Me pergunto se Tom está realmente com medo.
A água na estrada era apenas uma miragem.
Um fato frequentemente observado é que, sob a influência de uma paixão, chegam a escrever bons versos pessoas que, em quaisquer outras circunstâncias, são incapazes de escrever bem.
Eu queria me casar com ele.
Eu estava com medo de chamá-la para sair.
Mudanças no país são inevitáveis.
Dançamos juntos.
Vivemos num mundo muito complicado.
Escalei o monte Fuji quatro vezes.
Tom pensou em abandonar os estudos, mas decidiu não fazer isso.
O show durou aproximadamente três horas.
Ele gosta de tomar sorvete.
John não suporta o barulho.
Dan decidiu viajar pelo mundo.
Tom detesta cidades barulhentas.
Os meninos são escandalosos.
Você está em boa companhia.
Quero abrir o meu próprio restaurante.
O motor é barulhento.
Não consegui entender nada do que ele disse.
Foi uma competição.
Este aspirador de pó é barulhento.
Nós não podemos reclamar.
Nós não deveríamos reclamar.
Você deseja reclamar?
Você é estrangeiro?
Por que você ainda está reclamando?
Por que você está sempre reclamando?
Depois de três dias inteiros de entrevistas, nós chegamos a dois candidatos.
Ele orou antes de comer.
Não estou mais preocupado.
Tom cometeu apenas três erros.
Tom está sempre de bom humor.
Sessenta e cinco países boicotaram as Olimpíadas de Verão de 1980.
Tom me beijou antes de sair.
Poderias ser mais bondoso.
Meu médico aconselhou que eu parasse de tomar esse remédio.
Vamos jogar video game para matar o tempo.
Resumindo, estou dizendo que a sociedade está melhorando.
Árvores frutíferas necessitam de muito espaço para crescer.
Bons hábitos alimentares são essenciais.
As frutas contêm sementes.
As frutas são secas no sol.
Você parece gostar de frutas.
Eu não deveria ter feito o que fiz.
Não dá para respirar aqui.
Nada é mais terrível do que um terremoto.
Se não fosse pela minha família, eu desistiria deste emprego.
Você quer realmente ir a Boston?
Ela adora pescar.
Eu não tenho planos de visitar a Austrália.
Sinto saudades de casa quando lembro de minha família.
Porque eles estão jantando.
Layla e Sami estavam na praia.
Ele é o tipo de cara que não leva as mulheres muito a sério.
Eu tenho TOC.
Por favor, não alimente os pombos.
As férias de verão acabaram.
Estou esperando ansiosamente a sua visita durante as férias de verão.
Muitos jovens viajam ao exterior durante as férias de verão.
Quanto dinheiro foi economizado na preparação para as férias de verão?
Poder? Dinheiro? Tudo parece tão ridículo agora!
Não tenho nada para abrir a lata.
Centenas de pessoas ligaram ou escreveram à Fundação Gorila.
Centenas de pessoas estavam no lugar.
Matamos centenas de faisões a tiro.
Centenas de pessoas estavam esperando do lado de fora da bilheteria.
Centenas de pessoas trabalham nessa fábrica.
Milhões de árvores foram cortadas para se fazer combustível.
Quanto tempo dura a viagem?
Vocês têm protetor solar?
Eu nem sempre uso protetor solar.
Ele se parece muito com o pai dele.
Que horas começará o jogo?
Que horas o jogo vai começar?
A que horas começa?
Quando deveríamos fazer as reservas?
A que horas você pode vir?
Ela acertou em cheio.
Eles estão comendo um sanduíche.
Eu tive de correr.
Acabei de ter uma ideia.
Antes só do que mal acompanhado.
Isso nunca acabará.
Muriel tem 20 anos agora.
Fizemos uma melhora drástica.
Tom arregaçou as mangas.
Hoje é 18 de junho e é o aniversário de Muiriel!
Ele arregaçou suas mangas.
Eu sei onde ele mora, mas é segredo.
Ela arregaçou suas mangas.
Avise-nos quando o senhor estiver para vir à Austrália.
Tom arregaçou as mangas da camisa.
Se você olhar a letra da música, ela não significa muita coisa.
Você só está fugindo dos problemas da vida.
Eu acho que morar com você influenciou seu estilo de vida.
Gostaria de visitar a Inglaterra um dia.
Temos que esperar pelo pior.
A situação é pior do que imaginávamos.
Eu vim para te dar isso.
Não gosto do inverno.
Aqui está o seu troco.
Trarei a conta imediatamente.
A fila está se movendo muito devagar.
Eu levaria muito tempo para te explicar porquê isso não vai funcionar.
Você nunca tem tempo para as coisas importantes.
Eu imagino que por trás de cada coisa que temos que fazer, existe algo que queremos fazer.
Você realmente precisa fazer a pergunta para saber a resposta?
Eu só queria checar meu e-mail.
Você deve se desculpar a ela por isso.
Temos visto medidas drásticas deste então.
Voê sabe bastante sobre sumô.
Você parece tão pequeno perto de um lutador de sumô.
Isto não é justo.
Acabei de falar com Tom sobre aquele assunto.
Não corra riscos desnecessários.
Eles estão comendo as suas maçãs.
Correr riscos desnecessários é abusar da sorte!
O comportamento delas mudou drasticamente.
Você depende muito dos outros.
Você deve cortar despesas extras para conseguir viver com o que ganha.
Você deveria se envergonhar da sua ignorância.
Você tem seu próprio quarto?
Você deveria aprender a usar um dicionário.
Você sabe usar um dicionário?
Você precisará de muito mais dinheiro do que agora.
Você vem conosco agora.
Você trabalhou muito essa semana.
Em que série você está?
Você ficará em casa.
Você vai ficar em casa?
Você não precisava ter pintado a sua casa.
Você deveria se cuidar melhor.
Você deveria ter vindo antes.
É uma pena que você não tenha começado antes.
Você deveria ser mais cuidadoso.
Você só precisa se esforçar mais.
Você deveria estudar mais.
Você parece bastante cansado.
Com que frequência você usa a câmera de seu smartphone?
Quão alto você consegue pular?
A qual clube você pertence?
Você é amigo do Tom, não?
Posso te dar isso?
Você pode sempre contar com o Tom.
Quanto tempo você ficará aqui?
Com que frequência você vai ao exterior?
Você deveria dar ênfase àquele fato.
Você terminou de ler o romance?
Você deveria se inscrever para aquela vaga.
Você é a favor ou contra aquela política?
Você deveria ter visto a exibição.
Você não deveria menosprezar esse resultado.
Por que não deixamos Tom cuidar desse assunto? Afinal de contas, ele é o perito, certo?
Você consegue entender esse poema?
Você já é grandinho o suficiente para entender isso.
Como você não tem nada a ver com esse assunto, você não precisa se preocupar.
Você está pedindo muito dinheiro por esse carro.
Você pode usar esse carro.
De certa forma, você está certo.
Você não deveria ter comido tanto sorvete.
Você não deveria responder aos seus pais dessa forma.
Melhor pedir conselhos ao seu advogado.
Ninguém estava presente.
Em que série está a sua irmã?
Você seria tolo se pegasse dinheiro emprestado de um agiota.
Tentamos fazer o nosso melhor.
Seu gato está se escondendo de mim.
Você notou um padrão?
Sirius é a estrela mais brilhante no céu noturno.
Por que você não vai a um banco?
Eu estou acostumado a conversar com crianças.
Falei com o Tom noite passada.
Tom diz que Mary é sua alma gêmea e que eles foram feitos um para o outro.
A irmã de Tom é mais jovem que a minha.
Tom se foi.
Nós estamos tomando café da manhã dentro de casa.
Nós estávamos lá ontem à noite.
Tom sempre usa primeiro em casa os sapatos novos, para amaciá-los.
Os médicos dizem que as crianças que foram amamentadas são geralmente mais saudáveis.
Você não vê o padrão?
Algumas pessoas acham que asa-delta é um esporte perigoso.
Tenha toda a liberdade de ligar se a senhora vier a precisar de algo.
Acho que é provável que o Tom faça isso.
Vocês não entendem o que está acontecendo aqui?
Tom ia voar de asa-delta, mas aí amarelou.
Esqueça completamente esse assunto.
O que podemos fazer?
Vimos esse padrão antes.
Tom tinha planejado pedir aumento de salário ao chefe, mas amarelou.
Acredito que a educação deve ser secular, e não enraizada na religião.
Ele andou descalço.
O médico tentou extrair-lhe das costas a bala.
Tom nunca anda descalço.
Eu nunca imaginei que ele faria isso comigo.
Nós estamos jantando fora de casa.
Eu adoro andar descalço na grama.
Tom nos pediu que não deixássemos de chegar lá pontualmente.
Não haviam passado mais de duas horas.
Como é possível tirar o máximo proveito deste livro?
O rio é extenso.
Tom não queria andar na corda bamba sem uma rede.
Ele nos aborreceu com suas reclamações.
O sal faz o gelo derreter mais rápido.
Ela correu para seu quarto, chorando.
Preste atenção no que está comendo!
Nos conte o que aconteceu no parque.
Eu gostaria de visitar a Austrália algum dia.
Preste atenção no que está fazendo.
"Você joga futebol?" "Não, mas jogo tênis".
Eu caí para trás.
Tom sentia-se como se estivesse andando na corda bamba e que o pior poderia acontecer se ele fizesse alguma coisa errada.
Eu pratiquei falar francês com Tom.
